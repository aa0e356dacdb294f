"""Applies the first COUNT migrations to the database at URL, with the quart-db that is installed.

usage: migrate.py URL COUNT
"""

import asyncio
import os
import shutil
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from quart import Quart
from quart_db import QuartDB

MIGRATIONS = Path(__file__).parent / "migrations"


def for_asyncpg(url):
    """The URL with one host: where it names two, asyncpg takes the one in front and not the socket in the query."""
    parts = urlsplit(url)
    if parts.hostname is None or "host=" not in parts.query:
        return url
    user, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=user + at, query=f"{parts.query}&port={parts.port or 5432}").geturl()


async def migrate(url, count):
    # quart-db applies all that it finds in a folder.
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            shutil.copy(MIGRATIONS / f"{number}.py", folder)
        app = Quart(__name__)
        QuartDB(app, url=for_asyncpg(url), migrations_folder=folder)
        # An app that starts is migrated. The command `quart db-migrate` fails in 0.11 and 0.12.
        async with app.test_app():
            pass


try:
    asyncio.run(migrate(sys.argv[1], int(sys.argv[2])))
except Exception as error:
    print(error, file=sys.stderr, flush=True)
    # quart-db leaves the connection open when it fails, and the thread that aiosqlite has for it never ends.
    os._exit(1)
