"""MS-WMIO: classes and instances as the bytes that WMI sends, both ways.

`encode_object` and `decode_object` convert an EncodingUnit, the marshaled form of an IWbemClassObject. The other
functions are its pieces, as packets of many objects (MS-WMI 2.2.14) need them. What is worked out for a class part
serves every instance with the same one: give all the calls of a session one `ClassPartCache`.
"""

from openwmi.wmio.layout import Decoration, ObjectFlags
from openwmi.wmio.objects import (
    decode_block,
    decode_class_part,
    decode_instance_no_class,
    decode_object,
    decode_refreshed,
    encode_block,
    encode_class_part,
    encode_instance_no_class,
    encode_object,
    encode_refreshed,
)
from openwmi.wmio.plans import ClassPartCache

__all__ = [
    "ClassPartCache",
    "Decoration",
    "ObjectFlags",
    "decode_block",
    "decode_class_part",
    "decode_instance_no_class",
    "decode_object",
    "decode_refreshed",
    "encode_block",
    "encode_class_part",
    "encode_instance_no_class",
    "encode_object",
    "encode_refreshed",
]
