"""Values as bytes: sealed by default, as other backends write them on request.

`Codec` is made once per alias from a `CodecConfig`. Nothing that a server holds
is executed or unpickled before its seal is verified; the formats of django-redis
and of Django, where `read_formats` names them, are the one exception.
"""

from redpony.codec.codec import Codec
from redpony.codec.config import CodecConfig

__all__ = ["Codec", "CodecConfig"]
