//! `--decoder`: a program of the user's that says what keys and records mean.

use serde_json::Value;

use super::fixture::{Store, run};

/// Says of a key that it is its digits with a sign before them, and of a record what its kind is.
const TELLS: &str = r#"while IFS= read -r line; do
  case "$line" in
    *'"key":"6d"'*) echo '"the middle"' ;;
    *'"key"'*) echo null ;;
    *'"kind":"region.split"'*) echo '{"table":7}' ;;
    *) echo null ;;
  esac
done"#;

#[test]
fn a_decoder_says_what_keys_and_records_mean() {
    let store = Store::with_history().close();
    let answer = run(store.path(), "dump", &["-o", "ndjson", "--decoder", TELLS]);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
    let lines: Vec<Value> = answer
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let decoded: Vec<(&Value, &Value)> = lines
        .iter()
        .filter(|line| line.get("decoded").is_some())
        .map(|line| (&line["kind"], &line["decoded"]))
        .collect();
    assert_eq!(
        decoded,
        [(
            &Value::from("region.split"),
            &serde_json::json!({"table": 7})
        )]
    );
    assert!(answer.out.contains("the middle"), "{}", answer.out);
    let answer = run(store.path(), "state", &["--decoder", TELLS, "--at", "4"]);
    assert!(answer.out.contains("\"the middle\""), "{}", answer.out);
    let answer = run(store.path(), "dump", &["-o", "text", "--decoder", TELLS]);
    assert!(
        answer.out.contains("decoded: {\"table\":7}"),
        "{}",
        answer.out
    );
}

#[test]
fn what_is_redacted_is_not_shown_to_a_decoder() {
    let store = Store::with_history().close();
    let tells = r#"while IFS= read -r line; do echo '"seen"'; echo "$line" >&2; done"#;
    let args = ["--keys", "redact", "--decoder", tells];
    let answer = run(store.path(), "dump", &args);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(!answer.out.contains("seen"), "{}", answer.out);
    assert_eq!(answer.err, "", "it was asked");
}

#[test]
fn a_decoder_that_fails_is_told_of_and_the_rest_is_shown() {
    let store = Store::with_history().close();
    let plain = run(store.path(), "dump", &[]).out;
    for (command, why) in [
        ("exit 3", "ended before"),
        ("read line; echo no json", "no line of JSON"),
        ("/there/is/no/such/program 2>/dev/null", "ended before"),
    ] {
        let answer = run(store.path(), "dump", &["--decoder", command]);
        assert_eq!(answer.code, 11, "{command}: {}", answer.err);
        assert!(
            answer.err.starts_with("torrens: error[decoder]: "),
            "{}",
            answer.err
        );
        let is_told = answer.err.contains(why) || answer.err.contains("cannot be asked");
        assert!(is_told, "{command}: {}", answer.err);
        assert_eq!(answer.out, plain, "{command}");
    }
}
