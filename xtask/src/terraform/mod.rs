//! Terraform, checked without Terraform's registry and without a cloud.
//!
//! `terraform validate` and `terraform test` need the provider's schema, and get providers from a registry. Here the
//! schema is a committed file (how it came about: `extract.rs`) and the provider a stub that shows it (this program
//! itself, under another name: [`provider`]). So a wrong attribute, a wrong type, a block too many and a resource that
//! does not exist all fail, which [`negative`] proves each time. All happens in a temporary copy: the stub's hash must
//! never reach a lock file.
//!
//! What this cannot see is said in docs/operating/google-cloud.md: the provider's validators, and Google.

mod extract;
mod negative;
pub(crate) mod provider;
mod schema;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use schema::Schemas;

/// The provider whose schema is committed.
const VERSION: &str = "6.50.0";

/// The package that the schema is extracted from; the last of its kind.
const PACKAGE: &str = "@cdktf/provider-google@16.12.1";

/// Options of `cargo xtask terraform-schema`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExtractOptions {
    /// Where the package is unpacked already; it is fetched from npm without this.
    #[arg(long)]
    package: Option<PathBuf>,
}

fn schema_file(root: &Path) -> PathBuf {
    root.join("xtask")
        .join("terraform")
        .join(format!("google-{VERSION}.json"))
}

/// Extracts the schemas of the types that `terraform/` uses into the committed file.
///
/// # Errors
/// When the package cannot be fetched, lacks a type, or is not of the form that is known.
pub(crate) fn extract(sh: &Shell, root: &Path, options: &ExtractOptions) -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let package = match &options.package {
        Some(package) => package.clone(),
        None => fetch(sh, temporary.path())?,
    };
    let (resources, data_sources) = types_in_use(&root.join("terraform"))?;
    let of = |names: &BTreeSet<String>, prefix: &str| {
        let named = names.iter().map(|name| {
            let folder = format!("{prefix}{}", name.trim_start_matches("google_").replace('_', "-"));
            Ok((name.clone(), extract::schema(&package, &folder)?))
        });
        named.collect::<Result<_>>()
    };
    let schemas = Schemas {
        notice: vec![
            format!("Schema of some types of Terraform's provider for Google Cloud, {VERSION}."),
            format!("Extracted from {PACKAGE} on npm by `cargo xtask terraform-schema`."),
            "Copyright (c) HashiCorp, Inc. This file is under the Mozilla Public License 2.0,".to_owned(),
            "https://mozilla.org/MPL/2.0/; see NOTICE.md beside it.".to_owned(),
        ],
        provider: extract::schema(&package, "provider")?,
        resources: of(&resources, "")?,
        data_sources: of(&data_sources, "data-google-")?,
    };
    let file = schema_file(root);
    std::fs::write(&file, schemas.text()?)?;
    println!(
        "{}: {} resources, {} data sources",
        file.display(),
        schemas.resources.len(),
        schemas.data_sources.len()
    );
    Ok(())
}

fn fetch(sh: &Shell, into: &Path) -> Result<PathBuf> {
    let archive = cmd!(sh, "npm pack {PACKAGE} --pack-destination {into} --silent").read()?;
    let archive = into.join(archive.trim());
    cmd!(sh, "tar --extract --gzip --file {archive} --directory {into}").run()?;
    Ok(into.join("package"))
}

/// Google's resource and data source types that any file under `folder` names in a block's head.
fn types_in_use(folder: &Path) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
    let mut resources = BTreeSet::new();
    let mut data_sources = BTreeSet::new();
    for file in files(folder)? {
        if file.extension().is_none_or(|ext| ext != "tf") {
            continue;
        }
        for line in std::fs::read_to_string(&file)?.lines() {
            let mut words = line.split('"');
            let (head, kind) = (words.next().unwrap_or_default().trim(), words.next());
            let Some(kind) = kind.filter(|kind| kind.starts_with("google_")) else {
                continue;
            };
            match head {
                "resource" => resources.insert(kind.to_owned()),
                "data" => data_sources.insert(kind.to_owned()),
                _ => false,
            };
        }
    }
    Ok((resources, data_sources))
}

/// Every file under a folder, hidden folders left out.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let hidden = path
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with('.'));
            if path.is_dir() && !hidden {
                folders.push(path);
            } else if path.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A temporary copy of what Terraform reads, and the environment in which it finds the stub.
struct Bench<'a> {
    sh: &'a Shell,
    folder: tempfile::TempDir,
    schema: PathBuf,
}

impl<'a> Bench<'a> {
    fn new(sh: &'a Shell, root: &Path) -> Result<Self> {
        let bench = Self {
            sh,
            folder: tempfile::tempdir()?,
            schema: schema_file(root),
        };
        let mirror = bench.folder.path().join("mirror");
        let platform = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let system = match std::env::consts::OS {
            "macos" => "darwin",
            other => other,
        };
        let place = mirror.join(format!(
            "registry.terraform.io/hashicorp/google/{VERSION}/{system}_{platform}"
        ));
        std::fs::create_dir_all(&place)?;
        let program = place.join(format!("{}_v{VERSION}_x5", provider::NAME));
        std::os::unix::fs::symlink(std::env::current_exe()?, program)?;
        let settings = format!(
            "provider_installation {{\n  filesystem_mirror {{\n    path = {:?}\n  }}\n}}\n",
            mirror.display().to_string()
        );
        std::fs::write(bench.folder.path().join("terraform.rc"), settings)?;
        Ok(bench)
    }

    /// A fresh copy of `folders` of the repository.
    fn copy(&self, root: &Path, folders: &[&str]) -> Result<PathBuf> {
        let copy = tempfile::tempdir_in(self.folder.path())?.keep();
        for folder in folders {
            for file in files(&root.join(folder))? {
                let to = copy.join(file.strip_prefix(root)?);
                if let Some(parent) = to.parent() {
                    std::fs::create_dir_all(parent)?;
                }
                std::fs::copy(&file, to)?;
            }
        }
        Ok(copy)
    }

    /// Terraform with these arguments in this folder.
    fn terraform(&self, folder: &Path, arguments: &[&str]) -> xshell::Cmd<'_> {
        let change = format!("-chdir={}", folder.display());
        cmd!(self.sh, "terraform {change} {arguments...}")
            .env("TF_CLI_CONFIG_FILE", self.folder.path().join("terraform.rc"))
            .env("TF_DISABLE_PLUGIN_TLS", "1")
            .env("TF_IN_AUTOMATION", "1")
            .env("CHECKPOINT_DISABLE", "1")
            .env(provider::SCHEMA_VARIABLE, &self.schema)
    }

    fn init(&self, folder: &Path) -> Result<()> {
        self.terraform(folder, &["init", "-backend=false", "-input=false", "-no-color"])
            .quiet()
            .ignore_stdout()
            .run()
            .with_context(|| format!("terraform init in {}", folder.display()))
    }
}

/// Checks `terraform/`; `Some` says why it could not be done here.
///
/// # Errors
/// What Terraform says is wrong, or a mistake that it did not notice.
pub(crate) fn check(sh: &Shell, root: &Path) -> Result<Option<String>> {
    let version = cmd!(sh, "terraform version -json").quiet().ignore_stderr().read();
    if version.is_err() {
        let reason = "TERRAFORM NOT CHECKED: `terraform` is not on PATH and no package registry has it; install it from \
                      developer.hashicorp.com/terraform/install";
        return Ok(Some(reason.to_owned()));
    }
    let terraform = root.join("terraform");
    cmd!(sh, "terraform fmt -check -diff -recursive {terraform}")
        .env_remove("TF_CLI_CONFIG_FILE")
        .run()?;
    let bench = Bench::new(sh, root)?;
    let copy = bench.copy(root, &["terraform", "deploy"])?;
    let modules = modules(&copy.join("terraform"))?;
    ensure!(!modules.is_empty(), "no module in {}", terraform.display());
    for module in &modules {
        let name = module.strip_prefix(&copy)?.display().to_string();
        bench.init(module)?;
        println!("terraform validate: {name}");
        bench
            .terraform(module, &["validate", "-no-color"])
            .quiet()
            .run()?;
        if module.join("tests").is_dir() {
            println!("terraform test: {name}");
            bench.terraform(module, &["test", "-no-color"]).quiet().run()?;
        }
    }
    negative::check(&bench, root)?;
    Ok(None)
}

/// Folders with a `main.tf`.
fn modules(folder: &Path) -> Result<Vec<PathBuf>> {
    let mains = files(folder)?
        .into_iter()
        .filter(|file| file.ends_with("main.tf"));
    Ok(mains
        .filter_map(|main| main.parent().map(Path::to_owned))
        .collect())
}
