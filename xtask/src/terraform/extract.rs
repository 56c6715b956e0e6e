//! The schema of Google's provider, out of the TypeScript that was once generated from it.
//!
//! Terraform's registry cannot be reached everywhere, and the provider cannot be built without its module graph. But
//! npm has `@cdktf/provider-google`: classes that were generated from the provider's schema. Each
//! `lib/*/index.js` ends in a source map with the TypeScript, whose comments and getters say everything:
//!
//! | in the TypeScript | in the schema |
//! |---|---|
//! | `// name - computed: c, optional: o, required: r` | an attribute or block and its three flags |
//! | `getNumberAttribute('name')`, `new cdktf.StringMap(...)` | the attribute's type |
//! | `isBlock: true, type: "list"` in the HCL synthesis | a nested block and how it nests |
//! | `new XOutputReference(this, "name")` instead of `new XList(...)` | at most one of that block |
//! | `new XList(...)` without `isBlock` | a computed list of objects |
//!
//! Not in there, and so not checked by anything built on it: validators, conflicts between attributes, sensitivity.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use serde_json::{Value, json};

use super::schema::{Attribute, Block, NestedBlock, Nesting, Schema};

/// How a member of a class gets its value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// A plain attribute of this type.
    Plain(Value),
    /// Objects of the class with this name; `one` if there can be only one.
    Objects { class: String, one: bool, set: bool },
    /// No getter says: the provider's own block has only setters.
    Unsaid,
}

#[derive(Debug)]
struct Member {
    name: String,
    computed: bool,
    optional: bool,
    required: bool,
    form: Form,
}

/// What the HCL synthesis says of a member: is it a block, and of what storage class?
#[derive(Debug, Default, Clone)]
struct Synthesis {
    block: bool,
    nesting: String,
    storage: String,
}

/// One TypeScript file: classes with members, and what synthesis says of them. Keys are class names without suffix.
#[derive(Debug, Default)]
struct File {
    members: BTreeMap<String, Vec<Member>>,
    synthesis: BTreeMap<String, BTreeMap<String, Synthesis>>,
    /// The class of the resource itself.
    root: String,
}

/// The schema of the class that `lib/FOLDER/index.js` of the unpacked package holds.
///
/// # Errors
/// When the file is not there or not of the form above.
pub(crate) fn schema(package: &Path, folder: &str) -> Result<Schema> {
    let folder = package.join("lib").join(folder);
    let mut file = File::default();
    // Large resources keep the classes of their blocks in files beside `index.js`.
    for path in super::files(&folder)? {
        if path.extension().is_some_and(|ext| ext == "js") {
            let script = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let source = typescript(&script).with_context(|| path.display().to_string())?;
            parse(&source, &mut file);
        }
    }
    if file.root.is_empty() {
        bail!("{}: no class of a resource in it", folder.display());
    }
    Ok(Schema {
        version: 0,
        block: block(&file, &file.root).with_context(|| folder.display().to_string())?,
    })
}

/// The original source, out of the script's source map.
fn typescript(script: &str) -> Result<String> {
    let map = script
        .rsplit_once("sourceMappingURL=data:application/json;base64,")
        .context("has no source map")?
        .1;
    let bytes = base64::engine::general_purpose::STANDARD.decode(map.trim())?;
    let map: Value = serde_json::from_slice(&bytes)?;
    let source = map.pointer("/sourcesContent/0").and_then(Value::as_str);
    Ok(source.context("its source map has no source")?.to_owned())
}

fn parse(source: &str, file: &mut File) {
    let mut class = String::new();
    let mut synthesizes = String::new();
    let mut attribute = String::new();
    for line in source.lines() {
        let text = line.trim();
        if let Some(rest) = text.strip_prefix("export class ") {
            let name = rest.split_whitespace().next().unwrap_or_default();
            let root = ["TerraformResource", "TerraformDataSource", "TerraformProvider"]
                .iter()
                .any(|base| rest.contains(&format!("extends cdktf.{base}")));
            name.trim_end_matches("OutputReference").clone_into(&mut class);
            if root {
                name.clone_into(&mut class);
                file.root.clone_from(&class);
            }
            file.members.entry(class.clone()).or_default();
            synthesizes.clone_from(&class);
        } else if let Some(name) = text
            .strip_prefix("export function ")
            .and_then(|rest| Some(rest.split_once("ToHclTerraform(")?.0))
        {
            synthesizes = capitalised(name);
        } else if let Some(member) = member(text) {
            file.members.entry(class.clone()).or_default().push(member);
        } else if let Some(form) = form(text) {
            // The first line with a form after a member's comment is the member's.
            let last = file
                .members
                .get_mut(&class)
                .and_then(|members| members.last_mut());
            if let Some(last) = last.filter(|member| member.form == Form::Unsaid) {
                last.form = form;
            }
        } else if let Some(name) = text.strip_suffix(": {") {
            name.clone_into(&mut attribute);
        } else if let Some((key, value)) = text.trim_end_matches(',').split_once(": ") {
            if !matches!(key, "isBlock" | "type" | "storageClassType") {
                continue;
            }
            let of_class = file.synthesis.entry(synthesizes.clone()).or_default();
            let entry = of_class.entry(attribute.clone()).or_default();
            match key {
                "isBlock" => entry.block = value == "true",
                "type" => unquoted(value).clone_into(&mut entry.nesting),
                "storageClassType" => unquoted(value).clone_into(&mut entry.storage),
                _ => {}
            }
        }
    }
}

/// `// name - computed: true, optional: false, required: false`
fn member(text: &str) -> Option<Member> {
    let (name, flags) = text.strip_prefix("// ")?.split_once(" - computed: ")?;
    let mut flags = flags.split(", ").map(|flag| flag.ends_with("true"));
    Some(Member {
        name: name.to_owned(),
        computed: flags.next()?,
        optional: flags.next()?,
        required: flags.next()?,
        form: Form::Unsaid,
    })
}

fn form(text: &str) -> Option<Form> {
    let plain = |kind: Value| Some(Form::Plain(kind));
    if let Some(made) = text
        .strip_prefix("private _")
        .and_then(|rest| Some(rest.split_once(" = new ")?.1))
    {
        let (class, arguments) = made.split_once('(')?;
        return match class {
            "cdktf.StringMap" => plain(json!(["map", "string"])),
            "cdktf.StringMapList" => plain(json!(["list", ["map", "string"]])),
            _ => match class.strip_suffix("OutputReference") {
                Some(class) => Some(Form::Objects {
                    class: class.to_owned(),
                    one: true,
                    set: false,
                }),
                None => Some(Form::Objects {
                    class: class.strip_suffix("List")?.to_owned(),
                    one: false,
                    set: arguments.contains(", true)"),
                }),
            },
        };
    }
    let got = text.strip_prefix("return ")?;
    if got.starts_with("cdktf.Fn.tolist(this.getListAttribute(") {
        return plain(json!(["set", "string"]));
    }
    match got.strip_prefix("this.")?.split_once("Attribute(")?.0 {
        "getString" => plain(json!("string")),
        "getNumber" => plain(json!("number")),
        "getBoolean" => plain(json!("bool")),
        "getList" => plain(json!(["list", "string"])),
        "getNumberList" => plain(json!(["list", "number"])),
        "getStringMap" => plain(json!(["map", "string"])),
        _ => None,
    }
}

/// What only the synthesis tells, for the provider's own block.
fn by_storage(storage: &str) -> Result<Value> {
    Ok(match storage {
        "string" => json!("string"),
        "number" => json!("number"),
        "boolean" => json!("bool"),
        "stringList" => json!(["list", "string"]),
        "stringMap" => json!(["map", "string"]),
        other => bail!("storage class {other:?} is not known"),
    })
}

fn block(file: &File, class: &str) -> Result<Block> {
    let mut block = Block::default();
    let members = file
        .members
        .get(class)
        .with_context(|| format!("no class {class}"))?;
    for member in members {
        let said = file
            .synthesis
            .get(class)
            .and_then(|of| of.get(&member.name))
            .cloned();
        let said = said.unwrap_or_default();
        match &member.form {
            Form::Objects { class, one, set } if said.block => {
                let nesting_mode = match said.nesting.as_str() {
                    "struct" => Nesting::Single,
                    "set" => Nesting::Set,
                    _ if *set => Nesting::Set,
                    _ => Nesting::List,
                };
                let single = nesting_mode == Nesting::Single;
                let nested = NestedBlock {
                    nesting_mode,
                    block: self::block(file, class)?,
                    min_items: i64::from(member.required && !single),
                    max_items: i64::from(*one && !single),
                };
                block.block_types.insert(member.name.clone(), nested);
            }
            Form::Unsaid if said.block => {
                let nested = NestedBlock {
                    nesting_mode: Nesting::List,
                    block: synthesized(file, said.storage.trim_end_matches("List"))?,
                    min_items: 0,
                    max_items: 1,
                };
                block.block_types.insert(member.name.clone(), nested);
            }
            form @ (Form::Plain(_) | Form::Objects { .. } | Form::Unsaid) => {
                let kind = match form {
                    Form::Plain(kind) => kind.clone(),
                    Form::Objects { class, set, .. } => {
                        json!([if *set { "set" } else { "list" }, object(file, class)?])
                    }
                    Form::Unsaid => by_storage(&said.storage).with_context(|| member.name.clone())?,
                };
                let attribute = Attribute {
                    kind,
                    required: member.required,
                    optional: member.optional,
                    computed: member.computed,
                };
                block.attributes.insert(member.name.clone(), attribute);
            }
        }
    }
    Ok(block)
}

/// A block of the provider's own configuration: there, only the synthesis says what is in it.
fn synthesized(file: &File, class: &str) -> Result<Block> {
    let mut block = Block::default();
    for (name, said) in file.synthesis.get(class).into_iter().flatten() {
        let attribute = Attribute {
            kind: by_storage(&said.storage).with_context(|| name.clone())?,
            required: false,
            optional: true,
            computed: false,
        };
        block.attributes.insert(name.clone(), attribute);
    }
    Ok(block)
}

/// The object type of a class whose instances are values, not blocks.
fn object(file: &File, class: &str) -> Result<Value> {
    let mut fields = serde_json::Map::new();
    let members = file
        .members
        .get(class)
        .with_context(|| format!("no class {class}"))?;
    for member in members {
        let kind = match &member.form {
            Form::Plain(kind) => kind.clone(),
            Form::Objects { class, set, .. } => {
                json!([if *set { "set" } else { "list" }, object(file, class)?])
            }
            Form::Unsaid => bail!("{class}.{} has no type", member.name),
        };
        fields.insert(member.name.clone(), kind);
    }
    Ok(json!(["object", fields]))
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters
        .next()
        .map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
        .unwrap_or_default()
}

fn unquoted(text: &str) -> &str {
    text.trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shape of the generated code, made up: a resource with a plain attribute, a computed list of objects, one
    /// block of at most one, one set of blocks, and timeouts.
    const SOURCE: &str = r#"
export function thingNodesToHclTerraform(struct?: ThingNodes): any {
  const attrs = {
  };
}
export class ThingNodesOutputReference extends cdktf.ComplexObject {
  // size_gb - computed: true, optional: false, required: false
  public get sizeGb() {
    return this.getNumberAttribute('size_gb');
  }
}
export class ThingNodesList extends cdktf.ComplexList {
}
export function thingDiskToHclTerraform(struct?: ThingDisk): any {
  const attrs = {
    image: {
      value: cdktf.stringToHclTerraform(struct!.image),
      isBlock: false,
      type: "simple",
      storageClassType: "string",
    },
  };
}
export class ThingDiskOutputReference extends cdktf.ComplexObject {
  // image - computed: false, optional: false, required: true
  private _image?: string;
  public get image() {
    return this.getStringAttribute('image');
  }
}
export class Thing extends cdktf.TerraformResource {
  // labels - computed: false, optional: true, required: false
  private _labels?: { [key: string]: string };
  public get labels() {
    return this.getStringMapAttribute('labels');
  }
  // nodes - computed: true, optional: false, required: false
  private _nodes = new ThingNodesList(this, "nodes", false);
  // zones - computed: true, optional: true, required: false
  public get zones() {
    return cdktf.Fn.tolist(this.getListAttribute('zones'));
  }
  // disk - computed: false, optional: false, required: true
  private _disk = new ThingDiskOutputReference(this, "disk");
  // backups - computed: false, optional: true, required: false
  private _backups = new ThingDiskList(this, "backups", true);
  protected synthesizeHclAttributes(): { [name: string]: any } {
    const attrs = {
      disk: {
        value: thingDiskToHclTerraform(this._disk.internalValue),
        isBlock: true,
        type: "list",
        storageClassType: "ThingDiskList",
      },
      backups: {
        isBlock: true,
        type: "set",
        storageClassType: "ThingDiskList",
      },
    };
  }
}
"#;

    #[test]
    fn blocks_attributes_and_computed_objects_are_told_apart() {
        let mut file = File::default();
        parse(SOURCE, &mut file);
        assert_eq!(file.root, "Thing");
        let block = block(&file, "Thing").unwrap();
        let names: Vec<_> = block.attributes.keys().map(String::as_str).collect();
        assert_eq!(names, ["labels", "nodes", "zones"]);
        assert_eq!(block.attributes["labels"].kind, json!(["map", "string"]));
        assert!(block.attributes["labels"].optional);
        assert_eq!(block.attributes["zones"].kind, json!(["set", "string"]));
        let nodes = &block.attributes["nodes"];
        assert_eq!(nodes.kind, json!(["list", ["object", {"size_gb": "number"}]]));
        assert!(nodes.computed && !nodes.optional);
        let disk = &block.block_types["disk"];
        assert_eq!(
            (disk.nesting_mode, disk.min_items, disk.max_items),
            (Nesting::List, 1, 1)
        );
        assert!(disk.block.attributes["image"].required);
        let backups = &block.block_types["backups"];
        assert_eq!(
            (backups.nesting_mode, backups.min_items, backups.max_items),
            (Nesting::Set, 0, 0)
        );
    }

    #[test]
    fn a_script_without_a_source_map_is_refused() {
        assert!(typescript("no map").is_err());
    }
}
