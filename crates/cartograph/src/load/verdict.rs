//! What came of a load: did the regions agree, is everything there, and which exit code says so.

use serde_json::{Value, json};

use super::drive::Names;
use super::ledger::Findings;
use super::report::Report;
use crate::client::Error;
use crate::converge::{Verdict, Waited};
use crate::discovery::unreachable;
use crate::exit::{Exit, Failure};
use crate::term::{Paint, Term};
use crate::text::duration;

/// Reports what was seen up to Ctrl-C.
///
/// # Errors
/// The result cannot be written.
pub(super) fn interrupted(json: bool, report: &Report, term: &Term) -> Result<Exit, Failure> {
    if json {
        let mut document = report.to_json();
        merge(
            &mut document,
            json!({"interrupted": true, "exit": Exit::Interrupted.code()}),
        );
        term.print_json(&document)?;
    } else {
        term.print("stopped: whether the regions agree was not checked")?;
    }
    Ok(Exit::Interrupted)
}

/// Says what came of it, and with which exit code.
///
/// # Errors
/// The result cannot be written.
pub(super) fn conclude(
    json: bool,
    report: &Report,
    names: &Names,
    waited: &Waited,
    findings: Option<&Result<Findings, Failure>>,
    term: &Term,
) -> Result<Exit, Failure> {
    let exit = exit_code(&waited.last, findings);
    if json {
        let convergence = match &waited.last {
            Ok(verdict) => verdict.to_json(),
            Err(error) => json!({"converged": Value::Null, "error": error.to_string()}),
        };
        let ledger = match findings {
            None => Value::Null,
            Some(Ok(findings)) => findings.to_json(|cart| names.ledger_id(cart)),
            Some(Err(failure)) => json!({"error": failure.to_string()}),
        };
        let mut document = report.to_json();
        let took_ms = u64::try_from(waited.took.as_millis()).unwrap_or(u64::MAX);
        let rest = json!({"convergence": convergence, "converge_ms": took_ms, "ledger": ledger, "exit": exit.code()});
        merge(&mut document, rest);
        term.print_json(&document)?;
    } else {
        term.print(&convergence_text(waited, term))?;
        match findings {
            None => {}
            Some(Ok(findings)) => term.print(&ledger_text(findings, names, &waited.last, term))?,
            Some(Err(failure)) => term.print(&format!("ledger not checked: {failure}"))?,
        }
    }
    Ok(exit)
}

fn merge(document: &mut Value, rest: Value) {
    if let (Value::Object(document), Value::Object(rest)) = (document, rest) {
        document.extend(rest);
    }
}

fn exit_code(last: &Result<Verdict, Error>, findings: Option<&Result<Findings, Failure>>) -> Exit {
    let ledger = match findings {
        None => Exit::Success,
        Some(Ok(findings)) if findings.clean() => Exit::Success,
        Some(Ok(_)) => Exit::Refused,
        Some(Err(failure)) => failure.exit(),
    };
    match last {
        Err(error) => unreachable(error, "").exit(),
        Ok(Verdict::Unreached(_)) => Exit::Unreachable,
        Ok(Verdict::Differs(_)) => Exit::Refused,
        // Entries are still under way, so what the ledger misses may be among them.
        Ok(Verdict::Behind(_)) => Exit::Timeout,
        Ok(Verdict::Converged) => ledger,
    }
}

fn convergence_text(waited: &Waited, term: &Term) -> String {
    let took = duration(waited.took);
    let (good, headline) = match &waited.last {
        Ok(Verdict::Converged) => (
            true,
            format!("converged: all regions hold the same carts, {took} after the load"),
        ),
        Ok(Verdict::Differs(_)) => (
            false,
            format!("diverged: the regions still differ {took} after the load"),
        ),
        Ok(Verdict::Behind(_)) => (
            false,
            format!("not converged: entries are still under way {took} after the load"),
        ),
        Ok(Verdict::Unreached(_)) => (
            false,
            format!("not checked: a region cannot be asked {took} after the load"),
        ),
        Err(error) => (
            false,
            format!("not checked: whether the regions agree is unknown: {error}"),
        ),
    };
    let headline = term.paint(if good { Paint::Good } else { Paint::Bad }, &headline);
    match &waited.last {
        Ok(verdict) if !verdict.differences().is_empty() => {
            format!("{headline}\n{}", verdict.difference_table())
        }
        Ok(_) | Err(_) => headline,
    }
}

fn ledger_text(findings: &Findings, names: &Names, last: &Result<Verdict, Error>, term: &Term) -> String {
    let text = findings.render(|cart| names.ledger_id(cart));
    let paint = if findings.clean() { Paint::Good } else { Paint::Bad };
    let (first, rest) = text
        .split_once('\n')
        .map_or((text.as_str(), None), |(first, rest)| (first, Some(rest)));
    let mut shown = term.paint(paint, first);
    if let Some(rest) = rest {
        shown.push('\n');
        shown.push_str(rest);
    }
    if !findings.clean() && !matches!(last, Ok(Verdict::Converged)) {
        shown.push_str("\nthe regions have not converged: what is missing may still be on its way");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Outcome;
    use crate::load::ledger::Ledger;
    use std::collections::BTreeMap;
    use std::time::Duration;

    fn findings(shown: u64) -> Findings {
        let ledger = Ledger::default();
        ledger.record((0, "A"), 2, Ok(()));
        ledger.record((0, "A"), 1, Err(Outcome::Unknown));
        let cart = BTreeMap::from([(0, BTreeMap::from([("A".to_owned(), shown)]))]);
        ledger.check(&BTreeMap::from([("us".to_owned(), cart)]))
    }

    #[test]
    fn the_exit_code_says_which_promise_was_broken() {
        let timeout = Error::Timeout {
            url: String::new(),
            after: Duration::ZERO,
        };
        let refused = Error::Connect {
            url: String::new(),
            why: String::new(),
        };
        assert_eq!(
            exit_code(&Ok(Verdict::Converged), Some(&Ok(findings(2)))),
            Exit::Success
        );
        assert_eq!(
            exit_code(&Ok(Verdict::Converged), Some(&Ok(findings(3)))),
            Exit::Success
        );
        assert_eq!(
            exit_code(&Ok(Verdict::Converged), Some(&Ok(findings(1)))),
            Exit::Refused
        );
        assert_eq!(exit_code(&Ok(Verdict::Converged), None), Exit::Success);
        assert_eq!(
            exit_code(&Ok(Verdict::Differs(vec![])), Some(&Ok(findings(2)))),
            Exit::Refused
        );
        assert_eq!(
            exit_code(&Ok(Verdict::Behind(vec![])), Some(&Ok(findings(1)))),
            Exit::Timeout
        );
        assert_eq!(
            exit_code(&Ok(Verdict::Unreached(vec![])), Some(&Ok(findings(1)))),
            Exit::Unreachable
        );
        assert_eq!(exit_code(&Err(timeout), None), Exit::Timeout);
        assert_eq!(exit_code(&Err(refused), None), Exit::Unreachable);
    }
}
