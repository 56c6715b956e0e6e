//! Redis's own benchmark as the client, where it is installed.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::{Load, Measured};
use crate::exit::{Exit, Failure};

/// Requests of the first, short run, which tells how many a longer one takes.
const PROBE_REQUESTS: u64 = 20_000;

/// What is within a key, the same for every key: its random numbers are all alike in one command.
const WITHIN: u64 = 7;

/// A run may take so much longer than planned.
const PATIENCE: Duration = Duration::from_mins(1);

/// redis-benchmark or valkey-benchmark on PATH.
pub(super) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    ["redis-benchmark", "valkey-benchmark"].iter().find_map(|name| {
        std::env::split_paths(&path)
            .map(|directory| directory.join(name))
            .find(|program| program.is_file())
    })
}

/// Drives the server on `port`.
///
/// # Errors
/// The program fails, or says what cannot be read.
pub(super) async fn run(tool: &Path, port: u16, load: Load) -> Result<Measured, Failure> {
    let batch = (load.clients * load.depth) as u64;
    let probe = once(tool, port, load, PROBE_REQUESTS.max(batch)).await?;
    let planned = probe.per_second * load.time.as_secs_f64();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count, positive"
    )]
    let requests = (planned as u64).max(batch * 4).max(1_000);
    let measured = once(tool, port, load, requests).await?;
    // Its CPU is charged over both runs.
    Ok(Measured {
        operations: measured.operations + probe.operations,
        ..measured
    })
}

async fn once(tool: &Path, port: u16, load: Load, requests: u64) -> Result<Measured, Failure> {
    let failed = |what: String| Failure::new(Exit::Refused, format!("{}: {what}", tool.display()));
    let mut command = Command::new(tool);
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "--csv"]);
    command.args(["-c", &load.clients.to_string(), "-P", &load.depth.to_string()]);
    command.args(["-n", &requests.to_string(), "-r", &load.keys.to_string()]);
    let value = "x".repeat(load.value_bytes as usize);
    // It writes twelve digits where this stands; what is within a key is then the same for each key.
    for word in load.workload.words("__rand_int__", WITHIN, &value) {
        command.arg(word);
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(load.time * 4 + PATIENCE, command.output())
        .await
        .map_err(|_| failed("it does not come to an end".to_owned()))?
        .map_err(|e| failed(e.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers = text.lines().last().and_then(parse);
    let Some([per_second, p50_ms, p99_ms]) = numbers.filter(|_| output.status.success()) else {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(format!("it said {:?}", format!("{text}{said}").trim())));
    };
    Ok(Measured {
        operations: requests,
        per_second,
        p50_ms,
        p99_ms,
        ..Measured::default()
    })
}

/// A line of `"test","rps","avg","min","p50","p95","p99","max"`: operations a second, p50 and p99 in milliseconds.
fn parse(line: &str) -> Option<[f64; 3]> {
    let mut fields = line
        .rsplit(',')
        .map(|field| field.trim_matches('"').parse::<f64>().ok());
    let (_max, p99, _p95, p50) = (fields.next()??, fields.next()??, fields.next()??, fields.next()??);
    let (_min, _avg, rps) = (fields.next()??, fields.next()??, fields.next()??);
    Some([rps, p50, p99])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_csv_is_read_from_the_end_since_the_command_may_hold_commas() {
        let line = r#""HINCRBY cart:__rand_int__ a,b 1","120481.93","0.209","0.064","0.207","0.271","0.335","0.447""#;
        assert_eq!(parse(line), Some([120_481.93, 0.207, 0.335]));
        assert_eq!(parse(r#""test","rps","avg_latency_ms""#), None);
        assert_eq!(parse("Could not connect"), None);
    }
}
