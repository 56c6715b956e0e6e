//! `cartograph certs`: an authority of one's own, and a certificate for each region.
//!
//! Links between regions ask for certificates that name regions, and for nothing that a large public-key
//! infrastructure has. So a directory is enough: the authority's key and certificate, and a folder a region. What is
//! there is kept; a certificate is only replaced when that is asked for, by renaming, so that a running node never
//! reads half of one.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use serde_json::json;
use time::{Duration, OffsetDateTime};

use crate::clock;
use crate::exit::{EXIT_CODES, Exit, Failure};
use crate::term::Term;

/// Certificates are valid from a little before now, because clocks differ.
const BEFORE: Duration = Duration::hours(1);

const AFTER: &str = "\
Writes DIR/ca.crt and DIR/ca.key, and for each region DIR/REGION/peer.crt, peer.key and a copy of
ca.crt. Keep ca.key off the machines that run nodes: whoever has it can be any region.

Examples:
  cartograph certs certs us-central1 europe-west1 asia-southeast1
  cartograph certs certs europe-west4              one region more, of the same authority
  cartograph certs certs us-central1 --renew       rotate; nodes notice, nothing is restarted";

/// Make certificates for the links between regions
#[derive(Debug, clap::Args)]
#[command(after_help = format!("{AFTER}\n\n{EXIT_CODES}"))]
pub(crate) struct Args {
    /// Where they are, or are to be
    dir: PathBuf,
    /// Names of regions, as in `region.name`
    #[arg(required = true, value_name = "REGION", value_parser = region_name)]
    regions: Vec<String>,
    /// How long a region's certificate is valid
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,
    /// How long a new authority is valid
    #[arg(long, default_value_t = 3650, value_parser = clap::value_parser!(u16).range(1..=7300))]
    ca_days: u16,
    /// Replace certificates of regions that have one
    #[arg(long)]
    renew: bool,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

fn region_name(text: &str) -> Result<String, String> {
    if cartograph_node::config::is_region_name(text) {
        Ok(text.to_owned())
    } else {
        Err("a region's name has 1 to 63 letters, digits, `-`, `_` and `.`".to_owned())
    }
}

/// # Errors
/// A file cannot be read or written, or is not what it should be.
pub(crate) fn run(args: &Args, term: &Term) -> Result<Exit, Failure> {
    let authority = Authority::open(&args.dir, args.ca_days, term)?;
    let mut made = Vec::new();
    for region in &args.regions {
        let folder = args.dir.join(region);
        let certificate = folder.join("peer.crt");
        let keep = certificate.exists() && !args.renew;
        if !keep {
            authority.issue(region, &folder, args.days)?;
        }
        if !args.json {
            let word = if keep { "kept   " } else { "written" };
            term.print(&format!("{word} {}", certificate.display()))?;
        }
        made.push(json!({"region": region, "cert": certificate, "written": !keep}));
    }
    if args.json {
        term.print_json(&json!({"ca": args.dir.join("ca.crt"), "regions": made}))?;
    }
    Ok(Exit::Success)
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    /// The authority that is there, or a new one.
    fn open(dir: &Path, days: u16, term: &Term) -> Result<Self, Failure> {
        let (certificate, key) = (dir.join("ca.crt"), dir.join("ca.key"));
        match (certificate.exists(), key.exists()) {
            (true, true) => {
                let pair = KeyPair::from_pem(&read(&key)?)
                    .map_err(|error| failure(&key, &format!("holds no private key: {error}")))?;
                let params = authority_params(&pair, days);
                Ok(Authority {
                    issuer: Issuer::new(params, pair),
                    pem: read(&certificate)?,
                })
            }
            (false, false) => {
                let pair = KeyPair::generate().map_err(|error| failure(&key, &error.to_string()))?;
                let params = authority_params(&pair, days);
                let pem = params
                    .self_signed(&pair)
                    .map_err(|error| failure(&certificate, &error.to_string()))?
                    .pem();
                fs::create_dir_all(dir).map_err(|error| failure(dir, &error.to_string()))?;
                write(&key, &pair.serialize_pem(), 0o600)?;
                write(&certificate, &pem, 0o644)?;
                term.note(&format!("a new authority: {}", certificate.display()));
                let issuer = Issuer::new(params, pair);
                Ok(Authority { issuer, pem })
            }
            (true, false) => Err(failure(
                &key,
                "is not there, and the authority cannot sign without its key",
            )
            .advise("bring the key, or use another directory for a new authority")),
            (false, true) => Err(failure(&certificate, "is not there, although its key is")
                .advise("bring the certificate, or remove the key to begin a new authority")),
        }
    }

    /// A new key and certificate for a region.
    fn issue(&self, region: &str, folder: &Path, days: u16) -> Result<(), Failure> {
        let wrong = |error: rcgen::Error| failure(folder, &error.to_string());
        let pair = KeyPair::generate().map_err(wrong)?;
        let mut params = CertificateParams::new(vec![region.to_owned()]).map_err(wrong)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, region);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = valid(days);
        let certificate = params.signed_by(&pair, &self.issuer).map_err(wrong)?;
        fs::create_dir_all(folder).map_err(|error| failure(folder, &error.to_string()))?;
        // A node that reads between the two renames finds a key that does not fit, says so, and reads again.
        write(&folder.join("peer.key"), &pair.serialize_pem(), 0o600)?;
        write(&folder.join("peer.crt"), &certificate.pem(), 0o644)?;
        write(&folder.join("ca.crt"), &self.pem, 0o644)
    }
}

/// The same for the same key, so that the authority can be used again without reading its certificate; named by its
/// key, so that two of them can be told apart.
fn authority_params(key: &KeyPair, days: u16) -> CertificateParams {
    let mut params = CertificateParams::default();
    let identifier = params.key_identifier(key);
    let id = identifier
        .iter()
        .take(4)
        .fold(0_u32, |id, byte| (id << 8) | u32::from(*byte));
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("Cartograph regions {id:08x}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = valid(days);
    params
}

fn valid(days: u16) -> (OffsetDateTime, OffsetDateTime) {
    let seconds = i64::try_from(clock::unix_ms() / 1_000).unwrap_or(i64::MAX);
    let now = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    (now - BEFORE, now + Duration::days(i64::from(days)))
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| failure(path, &error.to_string()))
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    replace(path, text, mode).map_err(|error| failure(path, &error.to_string()))
}

/// Into a new file first, then renamed: nobody reads half of it.
fn replace(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let new = path.with_extension("new");
    // What an interrupted run left.
    let _gone = fs::remove_file(&new);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

fn failure(path: &Path, what: &str) -> Failure {
    Failure::new(Exit::Refused, format!("{}: {what}", path.display()))
}
