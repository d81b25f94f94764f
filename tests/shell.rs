use std::process::Command;

use rexpect::session::{PtySession, spawn_command};

fn shell(state: &std::path::Path, terminal: &str, timeout_ms: u64) -> PtySession {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swath"));
    command.env_clear().env("TERM", terminal).env("XDG_STATE_HOME", state).env("COLUMNS", "100");
    let mut shell = spawn_command(command, Some(timeout_ms)).expect("a terminal");
    shell.exp_string("swath> ").expect("a prompt");
    shell
}

fn send(shell: &mut PtySession, line: &str) {
    shell.send_line(line).expect("takes a line");
}

#[test]
fn statements_span_lines_and_commands_do_not() {
    let state = tempfile::tempdir().expect("dir");
    let mut shell = shell(state.path(), "dumb", 60_000);
    send(&mut shell, "SELECT 6 * 7");
    send(&mut shell, "  AS answer, ';' AS semicolon;");
    shell.exp_string("42").expect("the answer");
    send(&mut shell, ".mode jsonl");
    send(&mut shell, "SELECT sum(n) AS total FROM 'testdata/traps/zeros.csv';");
    shell.exp_string("{\"total\":3}").expect("the other format");
    send(&mut shell, "SELECT nothing;");
    shell.exp_string("no column named `nothing`").expect("an error");
    send(&mut shell, ".tabels");
    shell.exp_string("did you mean .tables?").expect("a hint");
    send(&mut shell, "CREATE VIEW zeros AS SELECT * FROM 'testdata/traps/zeros.csv';");
    send(&mut shell, ".tables");
    shell.exp_string("zeros").expect("the view");
    send(&mut shell, ".quit");
    shell.exp_eof().expect("the end");
    let history = std::fs::read_to_string(state.path().join("swath/history")).expect("history");
    assert!(history.contains("AS answer"), "{history}");
}

#[test]
fn tab_completes_paths_and_columns() {
    let state = tempfile::tempdir().expect("dir");
    let mut shell = shell(state.path(), "xterm", 60_000);
    shell.send("SELECT * FROM 'testdata/traps/zer\t;\n").expect("takes keys");
    shell.exp_string("rows").expect("the file is found");
    shell
        .send("SELECT max(l_quant\t) AS m FROM 'testdata/tpch/lineitem.csv';\n")
        .expect("takes keys");
    shell.exp_string("no column named `l_quant`").expect("nothing is known of what comes behind");
    shell
        .send("SELECT l_returnflag FROM 'testdata/tpch/lineitem.csv' ORDER BY l_ret\t LIMIT 1;\n")
        .expect("keys");
    shell.exp_string("1 row").expect("the column is found");
    shell.send(".qu\t\n").expect("takes keys");
    shell.exp_eof().expect("the end");
}

#[test]
fn ctrl_c_stops_the_statement_and_not_the_shell() {
    let state = tempfile::tempdir().expect("dir");
    let mut shell = shell(state.path(), "xterm", 5_000);
    let endless = "SELECT count(*) FROM generate_series(1, 100000000000) t(v) WHERE v % 7 = 8;";
    send(&mut shell, endless);
    // Until the statement has started, Ctrl-C only clears the line: it is sent until it takes effect.
    let mut stopped = false;
    for _ in 0..100 {
        shell.send_control('c').expect("interrupts");
        if shell.exp_regex("interrupted|swath> ").is_ok_and(|(_, found)| found == "interrupted") {
            stopped = true;
            break;
        }
    }
    assert!(stopped);
    // What is typed before the prompt is there may be lost, as in any line editor.
    shell.exp_string("swath> ").expect("a prompt");
    // A Ctrl-C that was sent too early may arrive only now and clear the line: then it is typed again.
    let lives_on = (0..5).any(|_| {
        send(&mut shell, "SELECT 'still ' || 'here' AS x;");
        shell.exp_string("still here").is_ok()
    });
    assert!(lives_on);
    shell.exp_string("swath> ").expect("a prompt");
    send(&mut shell, ".quit");
    shell.exp_eof().expect("the end");
}
