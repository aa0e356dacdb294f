DROP INDEX members_nick_idx;
ALTER TABLE members DROP COLUMN nick;
