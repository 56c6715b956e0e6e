//! A provider's schema, in the form of `terraform providers schema -json`.
//!
//! The committed file was extracted (`extract`) from a package on npm, because Terraform's own registry cannot be
//! reached where the tests run. Where it can be, the same file is what Terraform itself prints, so either may be put
//! in its place.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The file: one provider, the types in use.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Schemas {
    /// Where it comes from and whose it is: data has no comments.
    #[serde(rename = "//")]
    pub(crate) notice: Vec<String>,
    /// The provider's own block.
    pub(crate) provider: Schema,
    #[serde(rename = "resource_schemas")]
    pub(crate) resources: BTreeMap<String, Schema>,
    #[serde(rename = "data_source_schemas")]
    pub(crate) data_sources: BTreeMap<String, Schema>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Schema {
    #[serde(default)]
    pub(crate) version: i64,
    pub(crate) block: Block,
}

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Block {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) attributes: BTreeMap<String, Attribute>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) block_types: BTreeMap<String, NestedBlock>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attribute {
    /// `"string"`, `["list", "string"]`, `["list", ["object", {...}]]`.
    #[serde(rename = "type")]
    pub(crate) kind: serde_json::Value,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) required: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) optional: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) computed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NestedBlock {
    pub(crate) nesting_mode: Nesting,
    pub(crate) block: Block,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) min_items: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) max_items: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Nesting {
    Single,
    List,
    Set,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde hands over")]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde hands over")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

impl Schemas {
    /// Reads the committed file.
    ///
    /// # Errors
    /// When it is not there or not of this form.
    pub(crate) fn read(path: &std::path::Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    /// The file's text: a line a type, so that a change shows which.
    ///
    /// # Errors
    /// When it cannot be put into JSON.
    pub(crate) fn text(&self) -> Result<String> {
        let lines = |schemas: &BTreeMap<String, Schema>| -> Result<String> {
            let lines = schemas
                .iter()
                .map(|(name, schema)| Ok(format!("\"{name}\": {}", serde_json::to_string(schema)?)));
            Ok(lines.collect::<Result<Vec<_>>>()?.join(",\n"))
        };
        Ok(format!(
            "{{\n\"//\": {},\n\"provider\": {},\n\"resource_schemas\": {{\n{}\n}},\n\"data_source_schemas\": {{\n{}\n}}\n}}\n",
            serde_json::to_string_pretty(&self.notice)?,
            serde_json::to_string(&self.provider)?,
            lines(&self.resources)?,
            lines(&self.data_sources)?,
        ))
    }
}
