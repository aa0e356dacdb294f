async def migrate(connection):
    await connection.execute("ALTER TABLE members ADD COLUMN nick VARCHAR(40)")
    await connection.execute("UPDATE members SET email = lower(email)")
    await connection.execute("CREATE UNIQUE INDEX members_nick_idx ON members (nick) WHERE nick IS NOT NULL")


async def valid_migration(connection):
    return True
