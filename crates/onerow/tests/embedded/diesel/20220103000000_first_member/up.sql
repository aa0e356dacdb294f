INSERT INTO members VALUES (1, 'ada@example.org');
