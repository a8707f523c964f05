"""Objects in a bucket of any S3 server, by boto3; credentials, region and endpoint as AWS's tools take them.

``AWS_ENDPOINT_URL`` names a server other than Amazon's.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from trainers.errors import EnvironmentFault
from trainers.faults import writing
from trainers.places.objects import Refused, Stored

MISSING = ("404", "NoSuchKey", "NotFound", "NoSuchUpload")
ATTEMPTS = 4
"""To read an object whose body breaks off, beside boto3's own attempts to get an answer."""
EXISTS = ("412", "PreconditionFailed", "409", "ConditionalRequestConflict")
NOT_OFFERED = ("501", "NotImplemented", "405", "MethodNotAllowed", "400", "InvalidArgument")
REFUSED = (
    *("401", "403", "AccessDenied", "AllAccessDisabled", "AccountProblem", "InvalidAccessKeyId"),
    *("SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "NoSuchBucket", "PermanentRedirect"),
)
PART = 64 * 2**20
"""Bytes of a part of a large upload."""
SETTINGS = Config(
    retries={"mode": "standard", "total_max_attempts": 6},
    connect_timeout=5,
    read_timeout=30,
    # Newer checksums are not known to every server; each file has its own sha256.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


class S3Objects:
    """The objects below a prefix of a bucket; safe for several threads."""

    def __init__(self, url: str, bucket: str, prefix: str) -> None:
        self.url, self._bucket, self._start = url, bucket, f"{prefix}/" if prefix else ""

    def put(self, key: str, content: bytes | Path) -> None:
        """Store bytes, or a file: a large one in several parts at a time."""
        parts = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=4)
        with self._asking():
            if isinstance(content, bytes):
                self._client.put_object(**self._named(key), Body=content)
            else:
                self._client.upload_file(str(content), self._bucket, self._start + key, Config=parts)

    def create(self, key: str, content: bytes) -> bool:
        """Store bytes where the key has nothing, by a conditional put."""
        try:
            with self._asking():
                self._client.put_object(**self._named(key), Body=content, IfNoneMatch="*")
        except _Exists:
            return self.get(key) == content  # the answer to an earlier attempt may have been lost
        return True

    def creates_once(self) -> bool:
        """Try it: some servers take a conditional put for any other."""
        key = f".probe-{secrets.token_hex(8)}"
        try:
            return self.create(key, b"1") and not self.create(key, b"2")
        except _NotOffered:
            return False
        finally:
            self.delete(key)

    def get(self, key: str) -> bytes | None:
        """An object's bytes."""
        for left in reversed(range(ATTEMPTS)):
            try:
                with self._asking():
                    body = self._client.get_object(**self._named(key))["Body"]
            except _Missing:
                return None
            try:
                with self._asking(), body:
                    content: bytes = body.read()
                    return content
            except EnvironmentFault:
                if not left:
                    raise
        raise AssertionError

    def download(self, key: str, path: Path, size: int) -> bool:
        """Write an object to a new file, a large one by several parts at a time."""
        try:
            with writing(path, size), self._asking():
                self._client.download_file(self._bucket, self._start + key, str(path))
        except _Missing:
            return False
        return True

    def listed(self, prefix: str) -> Iterator[Stored]:
        """All objects below a prefix, a thousand in an answer."""
        for answer in self._pages("list_objects_v2", Prefix=self._below(prefix)):
            for each in answer.get("Contents", ()):
                key = each["Key"].removeprefix(self._start)
                yield Stored(key, int(each["Size"]), each["LastModified"].timestamp())

    def names(self, prefix: str) -> list[str]:
        """What is directly below a prefix, without a list of all that is below that."""
        start, found = self._below(prefix), set()
        for answer in self._pages("list_objects_v2", Prefix=start, Delimiter="/"):
            found |= {each["Prefix"] for each in answer.get("CommonPrefixes", ())}
            found |= {each["Key"] for each in answer.get("Contents", ())}
        return sorted(name.removeprefix(start).strip("/") for name in found)

    def delete(self, key: str) -> None:
        """Remove an object."""
        with suppress(_Missing), self._asking():
            self._client.delete_object(**self._named(key))

    def sweep(self, prefix: str, seconds: float) -> int:
        """Abort uploads in parts that killed processes have left, by the server's own clock."""
        count = 0
        with suppress(_NotOffered, _Missing):  # some servers say so of a bucket without uploads
            for answer in self._pages("list_multipart_uploads", Prefix=self._below(prefix)):
                for each in answer.get("Uploads", ()):
                    if (_time_of(answer) - each["Initiated"]).total_seconds() < seconds:
                        continue
                    with suppress(_Missing), self._asking():
                        self._client.abort_multipart_upload(
                            Bucket=self._bucket, Key=each["Key"], UploadId=each["UploadId"]
                        )
                    count += 1
        return count

    @cached_property
    def _client(self) -> Any:
        own = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        # A server that is not Amazon's seldom has a name for each bucket.
        config = SETTINGS.merge(Config(s3={"addressing_style": "path"})) if own else SETTINGS
        session = boto3.session.Session()
        return session.client("s3", config=config, region_name=session.region_name or "us-east-1")

    def _named(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._start + key}

    def _below(self, prefix: str) -> str:
        return f"{self._start}{prefix}/" if prefix else self._start

    def _pages(self, operation: str, **options: str) -> Iterator[dict[str, Any]]:
        with self._asking():
            pages = iter(self._client.get_paginator(operation).paginate(Bucket=self._bucket, **options))
        while True:
            with self._asking():
                answer = next(pages, None)
            if answer is None:
                return
            yield answer

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Raises the fault that an exception of boto3 in the block stands for."""
        try:
            yield
        except (Boto3Error, BotoCoreError, ClientError) as error:
            cause = error.__context__ if isinstance(error, Boto3Error) else error
            raise self._fault(cause or error) from error

    def _fault(self, error: BaseException) -> EnvironmentFault:
        reason = f"{self.url}: {' '.join(str(error).split())}"
        if isinstance(error, ClientError):
            code = str(error.response.get("Error", {}).get("Code", ""))
            kinds = ((MISSING, _Missing), (EXISTS, _Exists), (NOT_OFFERED, _NotOffered), (REFUSED, Refused))
            kind = next((kind for codes, kind in kinds if code in codes), EnvironmentFault)
            return kind(reason)
        refused = isinstance(error, NoCredentialsError | PartialCredentialsError)
        return (Refused if refused else EnvironmentFault)(reason)


class _Missing(EnvironmentFault):
    """There is no such object."""


class _Exists(EnvironmentFault):
    """A condition that there is none is not met."""


class _NotOffered(EnvironmentFault):
    """The server does not have the operation."""


def _time_of(answer: dict[str, Any]) -> datetime:
    """When the server gave an answer, by its own clock."""
    return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
