UPDATE members SET email = 'ada@example.com';
