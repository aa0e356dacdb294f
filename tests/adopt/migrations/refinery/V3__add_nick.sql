ALTER TABLE members ADD COLUMN nick VARCHAR(40);

UPDATE members SET email = lower(email);

CREATE UNIQUE INDEX members_nick_idx ON members (nick) WHERE nick IS NOT NULL;
