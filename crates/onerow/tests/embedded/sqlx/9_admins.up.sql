INSERT INTO members VALUES (2, 'grace@example.org', 1);
