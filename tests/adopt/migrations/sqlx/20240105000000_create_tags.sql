CREATE TABLE tags (
    name VARCHAR(30) NOT NULL PRIMARY KEY
);

CREATE TABLE post_tags (
    post_id INTEGER NOT NULL,
    tag VARCHAR(30) NOT NULL,
    PRIMARY KEY (post_id, tag),
    FOREIGN KEY (post_id) REFERENCES posts (id) ON DELETE CASCADE,
    FOREIGN KEY (tag) REFERENCES tags (name) ON UPDATE CASCADE
);

INSERT INTO tags (name) VALUES ('engines');
INSERT INTO post_tags (post_id, tag) VALUES (1, 'engines');
