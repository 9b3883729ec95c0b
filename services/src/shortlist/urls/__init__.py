"""Where the servers are: ``DATABASE_URL`` and ``REDIS_URL``, parsed once, for every process.

A URL is a secret: it holds a password, and a password that was not percent-encoded may stand
anywhere in it. So no message of this package repeats a part of a URL, and what is shown of one
(`ServerUrl.shown`) is put together from its parts, without the password.
"""

from shortlist.urls.database import DatabaseUrl, Pooler
from shortlist.urls.parts import BadUrlError, ServerUrl, without_credentials
from shortlist.urls.redis import RedisUrl

__all__ = ["BadUrlError", "DatabaseUrl", "Pooler", "RedisUrl", "ServerUrl", "without_credentials"]
