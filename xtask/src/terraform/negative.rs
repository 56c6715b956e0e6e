//! A check that cannot fail proves nothing: each kind of mistake is made once, and Terraform must notice it.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::Bench;

/// A mistake in a small configuration, and words that Terraform must say about it.
struct Mistake {
    what: &'static str,
    configuration: &'static str,
    complaint: &'static str,
}

/// Right as it is: without this, a complaint could have any other reason.
const RIGHT: &str = r#"
resource "google_compute_firewall" "x" {
  name    = "x"
  network = "n"
  allow {
    protocol = "tcp"
    ports    = ["7501"]
  }
  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}
"#;

const MISTAKES: &[Mistake] = &[
    Mistake {
        what: "an attribute that does not exist",
        configuration: r#"
resource "google_compute_firewall" "x" {
  name     = "x"
  network  = "n"
  netwrok2 = "n"
}
"#,
        complaint: "Unsupported argument",
    },
    Mistake {
        what: "a value of the wrong type",
        configuration: r#"
resource "google_compute_firewall" "x" {
  name     = "x"
  network  = "n"
  priority = "high"
}
"#,
        complaint: "a number is required",
    },
    Mistake {
        what: "a second block where one may be",
        configuration: r#"
resource "google_compute_firewall" "x" {
  name    = "x"
  network = "n"
  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
  log_config {
    metadata = "EXCLUDE_ALL_METADATA"
  }
}
"#,
        complaint: "No more than 1 \"log_config\" blocks are allowed",
    },
    Mistake {
        what: "a block that does not exist",
        configuration: r#"
resource "google_compute_firewall" "x" {
  name    = "x"
  network = "n"
  permit {
    protocol = "tcp"
  }
}
"#,
        complaint: "Unsupported block type",
    },
    Mistake {
        what: "a required attribute left out",
        configuration: "resource \"google_compute_firewall\" \"x\" {\n  name = \"x\"\n}\n",
        complaint: "Missing required argument",
    },
    Mistake {
        what: "a resource that does not exist",
        configuration: "resource \"google_compute_fire_wall\" \"x\" {\n  name = \"x\"\n}\n",
        complaint: "Invalid resource type",
    },
    Mistake {
        what: "a reference to what no resource has",
        configuration: r#"
resource "google_compute_firewall" "x" {
  name    = "x"
  network = "n"
}
output "y" {
  value = google_compute_firewall.x.adress
}
"#,
        complaint: "Unsupported attribute",
    },
];

/// A module's own mistakes: an argument that the module does not take, and an output that it does not give.
const MODULE_MISTAKES: &[(&str, &str, &str)] = &[
    (
        "a module's argument that does not exist",
        "module \"m\" {\n  source = \"./m\"\n  b      = 1\n}\n",
        "Unsupported argument",
    ),
    (
        "a module's output that does not exist",
        "module \"m\" {\n  source = \"./m\"\n}\noutput \"y\" {\n  value = module.m.b\n}\n",
        "Unsupported attribute",
    ),
];

/// Faults in our own modules, which their tests must notice: module, file, what stands there, what to put there instead.
const MUTATIONS: &[(&str, &str, &str, &str)] = &[
    (
        "region",
        "main.tf",
        "max_surge_fixed              = 0",
        "max_surge_fixed              = 3",
    ),
    (
        "ingress",
        "main.tf",
        "action      = \"deny(404)\"",
        "action      = \"allow\"",
    ),
    (
        "network",
        "main.tf",
        "ports    = [var.ports.peer]",
        "ports    = [var.ports.peer, var.ports.http]",
    ),
];

const HEAD: &str = r#"
terraform {
  required_providers {
    google = {
      source = "hashicorp/google"
    }
  }
}
"#;

/// Makes every mistake; the test of `terraform/` itself must fail on a wrong assertion, too.
///
/// # Errors
/// A mistake that Terraform did not notice.
pub(super) fn check(bench: &Bench<'_>, root: &Path) -> Result<()> {
    let folder = bench.copy(root, &[])?;
    let main = folder.join("main.tf");
    let write = |text: &str| std::fs::write(&main, format!("{HEAD}{text}"));
    let module = folder.join("m");
    std::fs::create_dir_all(&module)?;
    std::fs::write(module.join("main.tf"), "output \"a\" {\n  value = 1\n}\n")?;
    write(RIGHT)?;
    bench.init(&folder)?;
    let said = validate(bench, &folder)?;
    ensure!(
        said.contains("\"valid\": true"),
        "what is right was refused: {said}"
    );
    for mistake in MISTAKES {
        write(mistake.configuration)?;
        refused(&validate(bench, &folder)?, mistake.what, mistake.complaint)?;
    }
    for (what, configuration, complaint) in MODULE_MISTAKES {
        write(configuration)?;
        bench.init(&folder)?;
        refused(&validate(bench, &folder)?, what, complaint)?;
    }
    mutate(bench, root)?;
    let noticed = MISTAKES.len() + MODULE_MISTAKES.len() + MUTATIONS.len();
    println!("terraform: {noticed} mistakes noticed");
    Ok(())
}

/// Each mutation in turn: the module stays valid, and its tests fail.
fn mutate(bench: &Bench<'_>, root: &Path) -> Result<()> {
    for (name, file, from, to) in MUTATIONS {
        let copy = bench.copy(root, &["terraform"])?;
        let module = copy.join("terraform").join("modules").join(name);
        let path = module.join(file);
        let text = std::fs::read_to_string(&path)?;
        ensure!(
            text.contains(from),
            "{}: {from:?} is not there any more",
            path.display()
        );
        std::fs::write(&path, text.replace(from, to))?;
        bench.init(&module)?;
        bench
            .terraform(&module, &["validate", "-no-color"])
            .quiet()
            .ignore_stdout()
            .run()?;
        let tested = bench
            .terraform(&module, &["test", "-no-color"])
            .quiet()
            .ignore_status()
            .ignore_stderr()
            .read()?;
        ensure!(
            tested.contains("... fail") && tested.contains("Failure!"),
            "modules/{name}: {to:?} for {from:?} was not noticed: {tested}"
        );
    }
    Ok(())
}

fn validate(bench: &Bench<'_>, folder: &Path) -> Result<String> {
    let command = bench
        .terraform(folder, &["validate", "-json"])
        .quiet()
        .ignore_status();
    command.read().context("terraform validate")
}

fn refused(said: &str, what: &str, complaint: &str) -> Result<()> {
    let escaped = complaint.replace('"', "\\\"");
    ensure!(
        said.contains("\"valid\": false") && said.contains(&escaped),
        "{what} was not noticed ({complaint:?} expected): {said}"
    );
    Ok(())
}
