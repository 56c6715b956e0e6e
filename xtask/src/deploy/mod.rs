//! What is deployed, checked as far as a machine without a cluster, a registry and a cloud can.
//!
//! | check | tool | from |
//! |---|---|---|
//! | alert rules and their unit tests | promtool | Debian's `prometheus` |
//! | dashboard, runbooks, alert tests fit together | none | |
//! | Kubernetes manifests build and fit their schemas | kubectl; kubernetes-validate | PATH; `PyPI` |
//! | the compose file | docker-compose | Debian's `docker-compose` |
//! | the systemd unit | systemd-analyze | PATH |
//! | misconfigurations of all of these and of Terraform | checkov | `PyPI` |
//!
//! A tool that is missing and cannot be installed is a loud skip. That every metric a dashboard or alert names is one
//! that a node exports is a test of the node (`crates/node/src/metrics.rs`).

mod alerts;
mod tools;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

/// `None` when a check was made; why it could not be, otherwise.
pub(crate) type Skipped = Option<String>;

/// Alert rules: their syntax, their unit tests, their pages; the dashboard's form.
///
/// # Errors
/// What is wrong.
pub(crate) fn alerts(sh: &Shell, root: &Path) -> Result<Skipped> {
    alerts::check(root)?;
    if let Err(error) = tools::ensure_apt(sh, "promtool", "prometheus") {
        return Ok(Some(format!("ALERT RULES NOT TESTED: {error:#}")));
    }
    let folder = root.join("deploy").join("prometheus");
    let _folder = sh.push_dir(folder);
    cmd!(sh, "promtool check rules alerts.yaml").run()?;
    cmd!(sh, "promtool test rules alerts_test.yaml").run()?;
    // The configuration names the rules where a container has them.
    let here = sh.read_file("prometheus.yaml")?.replace("/etc/prometheus/", "");
    let copy = sh.create_temp_dir()?;
    sh.write_file(copy.path().join("prometheus.yaml"), here)?;
    sh.copy_file("alerts.yaml", copy.path())?;
    let configuration = copy.path().join("prometheus.yaml");
    cmd!(sh, "promtool check config {configuration}").run()?;
    Ok(None)
}

/// Kubernetes: every kustomization builds, and what it builds fits Kubernetes' schemas.
///
/// # Errors
/// What is wrong.
pub(crate) fn manifests(sh: &Shell, root: &Path) -> Result<Skipped> {
    if !tools::has(sh, "kubectl") {
        return Ok(Some(
            "KUBERNETES MANIFESTS NOT CHECKED: `kubectl` is not on PATH and no package registry has it"
                .to_owned(),
        ));
    }
    let built = sh.create_temp_dir()?;
    let built = built.path();
    let kubernetes = root.join("deploy").join("kubernetes");
    build(
        sh,
        &kubernetes.join("overlays").join("three-regions"),
        &built.join("three-regions.yaml"),
    )?;
    // Online Boutique's base is on GitHub; the stand-in has what the components change of it.
    for kind in ["replace", "external"] {
        let copy = built.join("online-boutique");
        sh.remove_path(&copy)?;
        let source = root.join("deploy").join("online-boutique");
        cmd!(sh, "cp -r {source} {copy}").quiet().run()?;
        let file = copy.join(kind).join("kustomization.yaml");
        let text = sh.read_file(&file)?;
        let remote = text
            .lines()
            .find_map(|line| line.strip_prefix("  - https://"))
            .with_context(|| format!("{}: names no base", file.display()))?;
        sh.write_file(&file, text.replace(&format!("https://{remote}"), "../stand-in"))?;
        build(sh, &copy.join(kind), &built.join(format!("boutique-{kind}.yaml")))?;
    }
    boutique_contract(&sh.read_file(built.join("boutique-replace.yaml"))?)?;
    let validate = match tools::ensure_python(sh, root, "kubernetes-validate") {
        Ok(program) => program,
        Err(error) => {
            return Ok(Some(format!(
                "KUBERNETES MANIFESTS BUILT, NOT VALIDATED: {error:#}"
            )));
        }
    };
    for file in ["three-regions", "boutique-replace", "boutique-external"] {
        let file = built.join(format!("{file}.yaml"));
        let said = cmd!(sh, "{validate} --strict --kubernetes-version 1.33 {file}")
            .quiet()
            .read_stderr();
        said.with_context(|| format!("{} does not fit Kubernetes' schemas", file.display()))?;
    }
    Ok(None)
}

fn build(sh: &Shell, folder: &Path, into: &Path) -> Result<()> {
    let text = cmd!(sh, "kubectl kustomize {folder}").read()?;
    ensure!(
        !text.contains("$patch") && !text.contains("$retainKeys"),
        "{}: a directive is left over",
        folder.display()
    );
    sh.write_file(into, text)?;
    Ok(())
}

/// What Online Boutique demands of its cart service, in what the component makes of it.
fn boutique_contract(manifest: &str) -> Result<()> {
    let service = manifest
        .split("\n---\n")
        .find(|document| {
            document.contains("kind: Deployment") && document.contains("\n  name: cartservice\n")
        })
        .context("no Deployment cartservice")?;
    for (what, text) in [
        ("the image", "image: cartograph:"),
        ("the port", "containerPort: 7070"),
        (
            "readiness by gRPC",
            "readinessProbe:\n          grpc:\n            port: 7070",
        ),
        ("the memory limit", "memory: 128Mi"),
        ("the grace", "terminationGracePeriodSeconds: 5"),
        ("a read-only root file system", "readOnlyRootFilesystem: true"),
        ("one node for a store", "type: Recreate"),
    ] {
        ensure!(
            service.contains(text),
            "Online Boutique: {what} is not kept ({text:?}):\n{service}"
        );
    }
    ensure!(
        !service.contains("REDIS_ADDR"),
        "Online Boutique: the old store's address is left"
    );
    ensure!(
        manifest.contains("CARTOGRAPH_GRPC_LISTEN: 0.0.0.0:7070"),
        "Online Boutique: no door on 7070"
    );
    Ok(())
}

/// The compose file, as docker-compose reads it.
///
/// # Errors
/// What is wrong.
pub(crate) fn compose(sh: &Shell, root: &Path) -> Result<Skipped> {
    if let Err(error) = tools::ensure_apt(sh, "docker-compose", "docker-compose") {
        return Ok(Some(format!("COMPOSE FILE NOT CHECKED: {error:#}")));
    }
    let file = root.join("deploy").join("compose.yaml");
    let said = cmd!(sh, "docker-compose --file {file} config").read()?;
    let links = sh.read_file(root.join("deploy").join("compose").join("links.json"))?;
    let links: Vec<serde_json::Value> = serde_json::from_str(&links)?;
    ensure!(
        links.len() == 6,
        "three regions have six links, not {}",
        links.len()
    );
    for link in &links {
        let listen = link["listen"].as_str().unwrap_or_default();
        let port = listen.rsplit(':').next().unwrap_or_default();
        ensure!(
            said.contains(&format!("https://links:{port}")),
            "no region dials the link on {listen}"
        );
        let upstream = link["upstream"]
            .as_str()
            .and_then(|to| to.split(':').next())
            .unwrap_or_default();
        ensure!(
            said.contains(&format!("CARTOGRAPH_REGION_NAME: {upstream}")),
            "{upstream} is no region"
        );
    }
    Ok(None)
}

/// The systemd unit, with a program that exists.
///
/// # Errors
/// What is wrong.
pub(crate) fn unit(sh: &Shell, root: &Path) -> Result<Skipped> {
    if !tools::has(sh, "systemd-analyze") {
        return Ok(Some(
            "SYSTEMD UNIT NOT CHECKED: `systemd-analyze` is not on PATH".to_owned(),
        ));
    }
    let text = sh.read_file(root.join("deploy").join("systemd").join("cartograph.service"))?;
    let folder = sh.create_temp_dir()?;
    let unit = folder.path().join("cartograph.service");
    let runnable = text
        .replace("/usr/local/bin/cartograph", "/bin/true")
        .replace("User=cartograph", "User=root")
        .replace("Group=cartograph", "Group=root");
    sh.write_file(&unit, runnable)?;
    let said = cmd!(sh, "systemd-analyze verify --man=no {unit}")
        .ignore_status()
        .quiet()
        .read_stderr()?;
    let ours: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("cartograph.service"))
        .collect();
    ensure!(ours.is_empty(), "systemd-analyze: {}", ours.join("; "));
    Ok(None)
}

/// checkov over Terraform, the rendered manifests and the Dockerfile; exceptions are in deploy/checkov.yaml or beside
/// the resource, each with its reason.
///
/// # Errors
/// What it found, or that it did not find what is plainly wrong.
pub(crate) fn checkov(sh: &Shell, root: &Path) -> Result<Skipped> {
    let checkov = match tools::ensure_python(sh, root, "checkov") {
        Ok(program) => program,
        Err(error) => return Ok(Some(format!("CHECKOV NOT RUN: {error:#}"))),
    };
    let settings = root.join("deploy").join("checkov.yaml");
    let folder = sh.create_temp_dir()?;
    let bad = folder.path().join("bad");
    sh.create_dir(&bad)?;
    sh.write_file(
        bad.join("main.tf"),
        "resource \"google_compute_instance\" \"x\" {\n  can_ip_forward = true\n}\n",
    )?;
    let noticed = cmd!(
        sh,
        "{checkov} --config-file {settings} --framework terraform --directory {bad}"
    )
    .ignore_status()
    .quiet()
    .read()?;
    ensure!(
        noticed.contains("FAILED for resource"),
        "checkov finds nothing wrong with what is wrong: {noticed}"
    );
    // One run over everything: most of its time is starting.
    let all = folder.path().join("all");
    sh.create_dir(&all)?;
    let terraform = root.join("terraform");
    cmd!(sh, "cp -r {terraform} {all}").quiet().run()?;
    sh.copy_file(root.join("deploy").join("Dockerfile"), &all)?;
    if tools::has(sh, "kubectl") {
        let overlay = root.join("deploy/kubernetes/overlays/three-regions");
        build(sh, &overlay, &all.join("three-regions.yaml"))?;
    }
    cmd!(
        sh,
        "{checkov} --config-file {settings} --framework terraform dockerfile kubernetes --directory {all}"
    )
    .run()?;
    exceptions_have_reasons(root)?;
    Ok(None)
}

/// `#checkov:skip=ID:reason`, and a comment above each entry of deploy/checkov.yaml.
fn exceptions_have_reasons(root: &Path) -> Result<()> {
    let settings = std::fs::read_to_string(root.join("deploy").join("checkov.yaml"))?;
    let lines: Vec<&str> = settings.lines().map(str::trim).collect();
    for pair in lines.windows(2) {
        if let [before, line] = pair {
            ensure!(
                !line.starts_with("- CKV") || before.starts_with("# "),
                "deploy/checkov.yaml: {line} has no reason above it"
            );
        }
    }
    for file in crate::terraform::files(&root.join("terraform"))? {
        for line in std::fs::read_to_string(&file).unwrap_or_default().lines() {
            if let Some((_, exception)) = line.split_once("#checkov:skip=") {
                let reason = exception.split_once(':').map_or("", |(_, reason)| reason);
                ensure!(reason.len() > 20, "{}: {exception} has no reason", file.display());
            }
        }
    }
    Ok(())
}
