//! The policy that a catalog's login needs: for `causeway check --grants`.

/// Reading the objects below a prefix of a bucket, and listing them, as an IAM policy.
pub(crate) fn policy(bucket: &str, prefix: &str) -> String {
    let below = match prefix.trim_matches('/') {
        "" => "*".to_owned(),
        prefix => format!("{prefix}/*"),
    };
    let text = |text: &str| format!("{text:?}");
    format!(
        "{{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n    {{ \"Effect\": \"Allow\", \"Action\": \"s3:GetObject\", \
         \"Resource\": {} }},\n    {{ \"Effect\": \"Allow\", \"Action\": \"s3:ListBucket\", \"Resource\": {},\n      \
         \"Condition\": {{ \"StringLike\": {{ \"s3:prefix\": {} }} }} }}\n  ]\n}}",
        text(&format!("arn:aws:s3:::{bucket}/{below}")),
        text(&format!("arn:aws:s3:::{bucket}")),
        text(&below)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_prefix_is_read() {
        assert_eq!(
            policy("lake", "tpch/"),
            r#"{
  "Version": "2012-10-17",
  "Statement": [
    { "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::lake/tpch/*" },
    { "Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::lake",
      "Condition": { "StringLike": { "s3:prefix": "tpch/*" } } }
  ]
}"#
        );
        assert!(policy("lake", "").contains("\"arn:aws:s3:::lake/*\""));
    }
}
