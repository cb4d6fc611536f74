"""What can be configured of an `s3` backend, and what is assumed where nothing is said.

Credentials are not here: boto3 finds them (environment, `~/.aws`, container, instance), so that no
secret stands in Perdure's configuration; `profile` names one of several sets.
"""

from __future__ import annotations

from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from backends.errors import InvalidKeyError
from backends.keys import KEY_CHARACTERS_MAX, check_key
from backends.s3.stores import PROFILES, Checksum, Store, StoreProfile

PART_SIZE_BYTES_MIN: Final = 5 << 20
PART_SIZE_BYTES_MAX: Final = 1 << 30
S3_KEY_CHARACTERS_MAX: Final = 1024
PREFIX_CHARACTERS_MAX: Final = S3_KEY_CHARACTERS_MAX - KEY_CHARACTERS_MAX - 1

# No login in it: it stands in messages and in listings.
_ENDPOINT: Final = r"^https?://[^/\s?#@]+(/[^\s?#@]*)?$"

Encryption = Literal["store", "sse-s3", "sse-kms"]


class S3Options(BaseModel):
    """What can be configured.

    Attributes:
        bucket: The bucket; it must be there.
        prefix: What every key begins with; nothing outside of it is touched.
        store: What stands behind the endpoint; `aws` without an endpoint, else `generic`.
        endpoint_url: Where the store is; None for AWS.
        region: What the requests are signed for; None for boto3's chain, or the store's own.
        path_style: Whether the bucket stands in the path; None for what the store needs.
        profile: A profile of boto3's configuration files; None for its own choice.
        checksum: What each body carries for the store to compare; None for the store's best.
        encryption: `sse-s3` and `sse-kms` ask for encryption; `store` leaves it to the bucket.
        kms_key_id: With which key of KMS; None for the account's own.
        part_size_bytes: From which length on a blob goes in parts, and how long each is.
        parts_in_flight: How many parts of one blob are under way at once.
        connect_timeout_seconds: How long a connection may take.
        read_timeout_seconds: How long the store may keep silent.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bucket: str = Field(min_length=3, max_length=63, pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]*$")
    prefix: str = ""
    store: Store | None = None
    endpoint_url: str | None = Field(default=None, pattern=_ENDPOINT)
    region: str | None = Field(default=None, min_length=1)
    path_style: bool | None = None
    profile: str | None = Field(default=None, min_length=1)
    checksum: Checksum | None = None
    encryption: Encryption = "store"
    kms_key_id: str | None = Field(default=None, min_length=1)
    part_size_bytes: int = Field(default=8 << 20, ge=PART_SIZE_BYTES_MIN, le=PART_SIZE_BYTES_MAX)
    parts_in_flight: int = Field(default=4, ge=1, le=32)
    connect_timeout_seconds: float = Field(default=5.0, gt=0, le=60)
    read_timeout_seconds: float = Field(default=30.0, gt=0, le=900)

    @field_validator("prefix")
    @classmethod
    def _check_prefix(cls, prefix: str) -> str:
        """Accept a slash at the end; keep it without."""
        trimmed = prefix.removesuffix("/")
        if not trimmed and not prefix:
            return ""
        try:
            check_key(trimmed)
        except InvalidKeyError as exc:
            raise ValueError(f"{exc.message}; {exc.hint}") from exc
        if len(trimmed) > PREFIX_CHARACTERS_MAX:
            raise ValueError(f"longer than {PREFIX_CHARACTERS_MAX} characters")
        return trimmed

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.kms_key_id and self.encryption != "sse-kms":
            raise ValueError("kms_key_id needs encryption = 'sse-kms'")
        if self.endpoint_url is None and self.store not in {None, Store.AWS}:
            raise ValueError(f"store {self.store.value!r} needs an endpoint_url")
        return self

    @property
    def profile_of_store(self) -> StoreProfile:
        """What the store can."""
        return PROFILES[self.store or (Store.GENERIC if self.endpoint_url else Store.AWS)]

    @property
    def key_prefix(self) -> str:
        """What stands before every key in the bucket; empty, or ends with a slash."""
        return f"{self.prefix}/" if self.prefix else ""
