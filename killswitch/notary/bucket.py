"""A bucket with object lock: as long as is set, nobody can delete or replace an anchor there, its owner included."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.utils import timezone

from killswitch.audit.anchors import anchor_line
from killswitch.audit.models import Anchor

from .places import Refused

TIMEOUT = 10  # seconds


class Bucket:
    """One object per anchor, under its sequence number and the beginning of its hash."""

    at_once = 1

    def __init__(self, client: Any, *, bucket: str, prefix: str, days: int) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._keep = timedelta(days=days)
        self.name = f"bucket {bucket}/{prefix}"[:300]

    @classmethod
    def configured(cls) -> "Bucket":
        """Return the bucket that the settings name. Without keys there, boto3 looks where it always does."""
        endpoint = settings.ANCHOR_S3_ENDPOINT or None
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name=settings.ANCHOR_S3_REGION,
            aws_access_key_id=settings.ANCHOR_S3_ACCESS_KEY or None,
            aws_secret_access_key=settings.ANCHOR_S3_SECRET_KEY or None,
            config=Config(
                connect_timeout=TIMEOUT,
                read_timeout=TIMEOUT,
                # The notary tries again by itself, with growing pauses.
                retries={"total_max_attempts": 1},
                s3={"addressing_style": "path" if endpoint else "auto"},
            ),
        )
        return cls(
            client,
            bucket=settings.ANCHOR_S3_BUCKET,
            prefix=settings.ANCHOR_S3_PREFIX,
            days=settings.ANCHOR_S3_RETENTION_DAYS,
        )

    def take(self, anchors: Sequence[Anchor]) -> None:
        for anchor in anchors:
            try:
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=f"{self._prefix}{anchor.sequence:012d}-{anchor.hash[:16]}.json",
                    Body=anchor_line(anchor) + b"\n",
                    ContentType="application/json",
                    ChecksumAlgorithm="SHA256",
                    ObjectLockMode="COMPLIANCE",
                    ObjectLockRetainUntilDate=timezone.now() + self._keep,
                )
            except (BotoCoreError, ClientError) as error:
                raise Refused(str(error)) from None
