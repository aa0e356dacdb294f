# All that `migrate` does is in a transaction, where VACUUM is refused.
async def migrate(connection):
    await connection.execute("ANALYZE")


async def valid_migration(connection):
    return True


# Called by versions 0.8 to 0.10, outside a transaction.
async def background_migrate(connection):
    await connection.execute("VACUUM")
