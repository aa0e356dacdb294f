async def migrate(connection):
    await connection.execute(
        """
        CREATE TABLE members (
            id INTEGER NOT NULL PRIMARY KEY,
            email VARCHAR(320) NOT NULL UNIQUE,
            points INTEGER NOT NULL DEFAULT 0,
            CONSTRAINT members_points_check CHECK (points >= 0)
        )
        """
    )
    await connection.execute("INSERT INTO members (id, email) VALUES (1, 'Ada@Example.org'), (2, 'grace@example.org')")


async def valid_migration(connection):
    return True
