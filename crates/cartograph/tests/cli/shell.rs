//! How the binary behaves in a shell.

use crate::world::{Faults, World};
use crate::{command, finish, run};

#[tokio::test]
async fn completions_are_made_for_each_shell() {
    for (shell, mark) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef cartograph"),
        ("fish", "complete -c cartograph"),
    ] {
        let ran = run(&["completions", shell]).await.expect(0);
        assert!(
            ran.stdout.contains(mark) && ran.stdout.contains("converge-timeout"),
            "{shell}"
        );
        assert_eq!(ran.stderr, "");
    }
    run(&["completions", "tcsh"]).await.expect(2);
}

#[tokio::test]
async fn a_closed_pipe_is_quiet() {
    let mut child = command(&["completions", "bash"]).spawn().unwrap();
    drop(child.stdout.take());
    let ran = finish(child).await.expect(0);
    assert_eq!(ran.stderr, "");
}

#[tokio::test]
async fn nothing_to_do_is_a_usage_error_with_help() {
    let ran = run(&[]).await.expect(2);
    assert!(
        ran.stderr.contains("cartograph load") && ran.stderr.contains("Exit codes"),
        "{ran:?}"
    );
    assert!(
        ran.stderr.contains("Drive every region with shoppers"),
        "each command is named with its purpose: {ran:?}"
    );
    for (command, teaches) in [
        ("load", "open-loop"),
        ("status", "cut"),
        ("cart", "later one wins"),
    ] {
        let ran = run(&[command, "--help"]).await.expect(0);
        for text in [teaches, "Examples", "Exit codes"] {
            assert!(
                ran.stdout.contains(text),
                "{command} --help lacks {text}: {ran:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_made_on_demand_only() {
    let world = World::start(Faults::default()).await;
    let demo = world.demo_url();
    let args = ["status", "--demo", demo.as_str()];
    let forced = finish(command(&args).env("CLICOLOR_FORCE", "1").spawn().unwrap())
        .await
        .expect(0);
    assert!(forced.stdout.contains("\u{1b}[32mCONVERGED"), "{forced:?}");
    let with_flag = finish(
        command(&args)
            .arg("--no-color")
            .env("CLICOLOR_FORCE", "1")
            .spawn()
            .unwrap(),
    )
    .await;
    assert!(!with_flag.stdout.contains('\u{1b}'), "{with_flag:?}");
    let with_env = finish(
        command(&args)
            .env("NO_COLOR", "1")
            .env("CLICOLOR_FORCE", "1")
            .spawn()
            .unwrap(),
    )
    .await;
    assert!(!with_env.stdout.contains('\u{1b}'), "{with_env:?}");
}
