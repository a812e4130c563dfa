//! What a bucket is set to: whether it keeps versions, encrypts, and keeps the public out.

use std::time::Duration;

use aws_sdk_s3::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::fault::{OpError, Target};
use crate::ops::aws::{Access, Line, found, target};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Operation, Read};

/// `s3.bucket`.
pub struct Look;

/// Which bucket.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BucketArgs {
    /// The bucket.
    pub bucket: String,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// A bucket as it is set.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bucket {
    /// Whether it is there.
    pub exists: bool,
    /// `enabled`, `suspended` or `off`.
    pub versioning: String,
    /// How it encrypts what does not say otherwise: `AES256`, `aws:kms`; empty when it is not set.
    pub encryption: String,
    /// The KMS key it encrypts with; empty when it is not set.
    pub kms_key: String,
    /// Whether all four blocks of public access are on.
    pub public_blocked: bool,
}

/// Whether a bucket keeps versions: `enabled`, `suspended` or `off`.
pub(super) fn versioning(line: &Line<'_>, bucket: &str) -> Result<String, OpError> {
    let act = format!("cannot ask whether bucket {bucket} keeps versions");
    let answer = line.call(&act, |s3: Client| s3.get_bucket_versioning().bucket(bucket).send())?;
    Ok(answer.status.map_or_else(|| "off".to_owned(), |status| status.as_str().to_lowercase()))
}

impl Operation for Look {
    const NAME: &'static str = "s3.bucket";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "whether a bucket is there, keeps versions, encrypts and keeps the public out";
    const PERMISSION: &'static str =
        "s3:ListBucket, s3:GetBucketVersioning, s3:GetEncryptionConfiguration, s3:GetBucketPublicAccessBlock";
    const TYPICAL: Duration = Duration::from_millis(400);
    type Args = BucketArgs;
    type Output = Bucket;

    fn resource(args: &BucketArgs) -> String {
        args.aws.resource("s3", &args.bucket)
    }

    fn target(context: &ReadContext<'_>, args: &BucketArgs) -> Result<Option<Target>, OpError> {
        target(context, &args.aws)
    }
}

impl Read for Look {
    fn read(context: &ReadContext<'_>, args: BucketArgs) -> Result<Bucket, OpError> {
        let (line, bucket) = (context.aws(&args.aws)?, args.bucket.as_str());
        let act = format!("cannot look at bucket {bucket}");
        if found(line.peek(&act, |s3: Client| s3.head_bucket().bucket(bucket).send()))?.is_none() {
            return Ok(Bucket { versioning: "off".to_owned(), ..Bucket::default() });
        }
        let encryption = found(line.call(&act, |s3: Client| s3.get_bucket_encryption().bucket(bucket).send()))?;
        let rules = encryption.and_then(|found| found.server_side_encryption_configuration).map(|set| set.rules);
        let rule = rules.unwrap_or_default().into_iter().find_map(|rule| rule.apply_server_side_encryption_by_default);
        let access = found(line.call(&act, |s3: Client| s3.get_public_access_block().bucket(bucket).send()))?;
        let blocks = access.and_then(|found| found.public_access_block_configuration);
        Ok(Bucket {
            exists: true,
            versioning: versioning(&line, bucket)?,
            encryption: rule.as_ref().map(|rule| rule.sse_algorithm.as_str().to_owned()).unwrap_or_default(),
            kms_key: rule.and_then(|rule| rule.kms_master_key_id).unwrap_or_default(),
            public_blocked: blocks.is_some_and(|set| {
                [set.block_public_acls, set.ignore_public_acls, set.block_public_policy, set.restrict_public_buckets]
                    .into_iter()
                    .all(|one| one == Some(true))
            }),
        })
    }
}
