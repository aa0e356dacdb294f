CREATE TABLE posts (
    id INTEGER NOT NULL PRIMARY KEY,
    member_id INTEGER NOT NULL,
    title VARCHAR(200) NOT NULL,
    published BOOLEAN NOT NULL DEFAULT FALSE,
    FOREIGN KEY (member_id) REFERENCES members (id) ON DELETE CASCADE
);

CREATE UNIQUE INDEX posts_member_id_title_idx ON posts (member_id, title);
CREATE INDEX posts_published_idx ON posts (member_id) WHERE published;

INSERT INTO posts (id, member_id, title, published) VALUES (1, 1, 'Notes', TRUE);
