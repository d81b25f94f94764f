use std::process::Command;

use rexpect::session::{PtySession, spawn_command};

fn shell(state: &std::path::Path, terminal: &str, timeout_ms: u64) -> PtySession {
    shell_with(state, terminal, timeout_ms, &[("COLUMNS", "100"), ("LINES", "50")])
}

fn shell_with(
    state: &std::path::Path,
    terminal: &str,
    timeout_ms: u64,
    environment: &[(&str, &str)],
) -> PtySession {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swath"));
    command
        .env_clear()
        .env("TERM", terminal)
        .env("PATH", std::env::var("PATH").unwrap_or_default());
    command.env("XDG_STATE_HOME", state).env("XDG_CONFIG_HOME", state);
    command.envs(environment.iter().copied());
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
    send(&mut shell, r"\mode jsonl");
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
    let plain = [("NO_COLOR", "1")];
    let mut shell = shell_with(state.path(), "xterm", 5_000, &plain);
    let endless = "SELECT count(*) FROM generate_series(1, 100000000000) t(v) WHERE v % 7 = 8;";
    // Until the statement has started, Ctrl-C only clears the line, and the statement may be gone with it:
    // both are sent until they take effect.
    let stopped = (0..5).any(|_| {
        send(&mut shell, endless);
        (0..100).any(|_| {
            shell.send_control('c').expect("interrupts");
            let found = shell.exp_regex("interrupted|swath> ");
            found.is_ok_and(|(_, found)| found == "interrupted")
        })
    });
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

/// Sends a line and waits for its answer, and for the prompt behind it; gives what came before the answer.
fn ask(shell: &mut PtySession, line: &str, answer: &str) -> String {
    send(shell, line);
    let said = shell.exp_string(answer);
    let said = said.unwrap_or_else(|error| panic!("{line}: no {answer:?}: {error}"));
    shell.exp_string("swath> ").expect("a prompt");
    said
}

/// Colours for a dark terminal, asked for.
fn darken(shell: &mut PtySession) {
    send(shell, ".colors dark");
    // What is typed before the prompt is there may be lost, as in any line editor.
    shell.exp_string("dark\r").expect("the line");
    shell.exp_string("\r\n").expect("its end");
    shell.exp_string("swath> ").expect("a prompt");
}

/// What is asked of a shell and must come back, in order.
fn converse(shell: &mut PtySession, lines: &[(&str, &str)]) {
    for (line, answer) in lines {
        send(shell, line);
        if let Err(error) = shell.exp_string(answer) {
            panic!("{line}: no {answer:?}: {error}");
        }
    }
}

#[test]
fn commands_look_at_files_results_and_settings() {
    let state = tempfile::tempdir().expect("dir");
    let file = |name: &str| state.path().join(name).display().to_string();
    let mut shell = shell(state.path(), "dumb", 60_000);
    converse(
        &mut shell,
        &[
            (".chart", "run a query first"),
            (".schema testdata/sales", "DECIMAL(10,2)"),
            (".partitions testdata/sales", "8 rows"),
            (".files testdata/sales", "Parquet"),
            (".sniff testdata/traps/zeros.csv", "read_csv('testdata/traps/zeros.csv'"),
            (".check testdata/traps/ragged.csv", "row"),
            (".functions date_tru", "date_trunc(precision, expression)"),
            (
                "SELECT region, sum(amount) AS total FROM 'testdata/sales' GROUP BY 1 ORDER BY 1;",
                "9117.05",
            ),
            (".chart", "total by region"),
            ("SELECT count(*) AS kept FROM _ WHERE total > 10000;", "1 row"),
            (".last", "kept"),
            (".chart line kept", "needs a number or a time"),
            (".notes", "nothing was guessed"),
            (".explain SELECT count(*) FROM 'testdata/sales'", "Stage 1"),
            (".set swath.reuse", "off"),
            (".set swath.max_scan_bytes 1kB", "swath> "),
            ("SELECT sum(amount) FROM 'testdata/sales';", "1.00 kB is allowed"),
            (".rows 3", "swath> "),
            ("SELECT * FROM generate_series(1, 9) t(v);", "9 rows (3 shown)"),
            (".mode", "mode is table, of table, box"),
            (".mode xls", "no format named xls"),
            (".keys vi", "swath> "),
            (".keys", "keys are vi"),
            (".keys emacs", "swath> "),
            (".pager", "pager is on"),
            (".timer maybe", ".timer is on or off"),
            (".help chart", "draws the last result"),
            (".help", "Ctrl-R"),
            (".cd testdata", "testdata swath> "),
            ("SELECT count(*) AS after_cd FROM 'sales' WHERE false;", "after_cd"),
        ],
    );
    send(&mut shell, &format!(".once {}", file("once.csv")));
    converse(&mut shell, &[("SELECT 7 AS seven;", "swath> "), ("SELECT 8 AS eight;", "eight")]);
    assert_eq!(std::fs::read_to_string(file("once.csv")).expect("written"), "seven\n7\n");
    converse(&mut shell, &[(".once |tr a-z A-Z", "swath> "), ("SELECT 'loud' AS x;", "LOUD")]);
    // What is drawn into a file is the last result; what failed is none.
    send(&mut shell, &format!(".once {}", file("d.svg")));
    converse(
        &mut shell,
        &[
            ("SELECT 4321 AS drawn;", "swath> "),
            ("SELECT drawn + 1 AS next FROM _;", "4322"),
            ("SELECT nothing;", "no column named"),
            ("SELECT next + 1 AS more FROM _;", "no table or view named _"),
            (".last", "there is no result yet"),
        ],
    );
    converse(
        &mut shell,
        &[("SELECT 1 AS a, 2 AS b;", "1 row"), (&format!(".chart > {}", file("c.svg")), "swath> ")],
    );
    send(&mut shell, ".quit");
    shell.exp_eof().expect("the end");
    assert!(std::fs::read_to_string(file("c.svg")).expect("drawn").starts_with("<svg"));
}

#[test]
fn scripts_run_up_to_their_first_error() {
    let state = tempfile::tempdir().expect("dir");
    let rc = state.path().join("swath/rc.sql");
    std::fs::create_dir_all(rc.parent().expect("a folder")).expect("made");
    std::fs::write(&rc, "-- at the start\n.mode csv\nCREATE VIEW one AS\n  SELECT 1 AS x;\n")
        .expect("rc");
    let script = state.path().join("script.sql");
    let outer = state.path().join("outer.sql");
    let inner = format!(".read {}\nSELECT 'unreachable' AS never;\n", script.display());
    std::fs::write(&outer, inner).expect("script");
    std::fs::write(&script, "SELECT x + 1 AS two FROM one;\n.mode nope\nSELECT 3 AS three;")
        .expect("script");
    let mut shell = shell(state.path(), "dumb", 60_000);
    send(&mut shell, &format!(".read {}", script.display()));
    shell.exp_string("two\r\n2").expect("the view of the rc file, in its mode");
    shell.exp_string("no format named nope").expect("the error");
    shell.exp_string("script.sql, line 2").expect("its place");
    send(&mut shell, &format!(".read {}", outer.display()));
    shell.exp_string("script.sql, line 2").expect("the inner one stops");
    shell.exp_string("outer.sql, line 1").expect("and so the outer one");
    send(&mut shell, ".mode json");
    converse(&mut shell, &[("SELECT 'on' AS goes;", "[{\"goes\":\"on\"}]")]);
    send(&mut shell, ".quit");
    shell.exp_eof().expect("the end");
}

#[test]
fn what_does_not_fit_is_paged_or_shown_upright() {
    let state = tempfile::tempdir().expect("dir");
    let narrow = [("COLUMNS", "80"), ("LINES", "24"), ("PAGER", "head -n 5; echo paged")];
    let mut shell = shell_with(state.path(), "dumb", 60_000, &narrow);
    converse(
        &mut shell,
        &[
            ("SELECT * FROM generate_series(1, 30) t(v);", "paged"),
            ("SELECT * FROM generate_series(1, 3) t(v);", "3 rows"),
            (".pager off", "swath> "),
            ("SELECT * FROM 'testdata/tpch/lineitem.csv' LIMIT 1;", " row 1 "),
        ],
    );
    shell.exp_regex("l_shipinstruct .{1,4} DELIVER IN PERSON").expect("one value a line");
    send(&mut shell, ".quit");
    shell.exp_eof().expect("the end");
    let wide = [("COLUMNS", "400"), ("LINES", "24")];
    let mut shell = shell_with(state.path(), "dumb", 60_000, &wide);
    send(&mut shell, "SELECT * FROM 'testdata/tpch/lineitem.csv' LIMIT 1;");
    shell.exp_regex("DELIVER IN PERSON +.{1,4} TRUCK").expect("side by side");
    send(&mut shell, ".quit");
    shell.exp_eof().expect("the end");
}

#[test]
fn colours_are_for_terminals_that_have_them() {
    let state = tempfile::tempdir().expect("dir");
    let mut colored = shell(state.path(), "xterm", 60_000);
    darken(&mut colored);
    send(&mut colored, "SELECT 'x' AS y;");
    colored.exp_string("\u{1b}[1;94mSELECT\u{1b}[0m").expect("a keyword");
    colored.exp_string("\u{1b}[92m'x'\u{1b}[0m").expect("a text");
    colored.exp_string("1 row").expect("the answer");
    colored.exp_string("swath> ").expect("a prompt");
    send(&mut colored, "SELECT nme;");
    colored.exp_string("\u{1b}[").expect("colours");
    colored.exp_string("^^^").expect("a mark");
    colored.exp_string("swath> ").expect("a prompt");
    send(&mut colored, ".quit");
    colored.exp_eof().expect("the end");
    let mut plain = shell(state.path(), "dumb", 60_000);
    send(&mut plain, "SELECT nme;");
    let seen = plain.exp_string("^^^").expect("a mark");
    assert!(!seen.contains('\u{1b}'), "{seen:?}");
    send(&mut plain, ".quit");
    plain.exp_eof().expect("the end");
}

#[test]
fn tab_completes_what_the_statement_is_about() {
    let state = tempfile::tempdir().expect("dir");
    let mut shell = shell_with(state.path(), "xterm", 60_000, &[("NO_COLOR", "1")]);
    for (keys, answer) in [
        ("SELECT count(*) AS n FROM 'testdata/sales' WHERE region = 'no\t;\n", "41"),
        ("WITH t AS (SELECT 42 AS answer) SELECT * FROM t WHERE ans\t = 42;\n", "1 row"),
        (".mode json\n", ".mode json"),
    ] {
        shell.send(keys).expect("takes keys");
        shell.exp_string(answer).expect("what was meant is found");
        shell.exp_string("swath> ").expect("a prompt");
    }
    shell.send(".qu\t\n").expect("takes keys");
    shell.exp_eof().expect("the end");
}

#[test]
fn the_editor_gives_the_next_line() {
    let state = tempfile::tempdir().expect("dir");
    let editor = [("EDITOR", "sed -i s/17/1234/"), ("NO_COLOR", "1")];
    let mut shell = shell_with(state.path(), "xterm", 60_000, &editor);
    ask(&mut shell, "SELECT 17 * 2 AS x;", "1 row");
    send(&mut shell, ".edit");
    shell.exp_string("SELECT 1234 * 2 AS x;").expect("what the editor left");
    ask(&mut shell, "", "2468");
    send(&mut shell, ".quit");
    shell.exp_eof().expect("the end");
}

#[test]
fn answers_go_to_commands() {
    let state = tempfile::tempdir().expect("dir");
    let mut shell = shell(state.path(), "dumb", 60_000);
    converse(
        &mut shell,
        &[
            ("| sort", "run a query first"),
            (".mode csv", "swath> "),
            ("SELECT 'ab' AS x UNION ALL", ""),
            ("  SELECT 'cd' ORDER BY x; | tr abcd wxyz", "x\r\nwx\r\nyz\r\n"),
            ("| grep -c '[a-d]' # as it was", "2\r\n"),
            ("|", "no command given"),
            ("SELECT 'back' AS place;", "place\r\nback\r\n"),
            (".quit", ""),
        ],
    );
    shell.exp_eof().expect("the end");
}

/// A text, of which a terminal gives byte by byte, without the sequences that colour it and move the cursor.
fn uncolored(text: &str) -> String {
    let bytes: Vec<u8> = text.chars().filter_map(|c| u8::try_from(c).ok()).collect();
    let text = String::from_utf8_lossy(&bytes);
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            plain.push(c);
        } else if chars.next() == Some('[') {
            let _ = chars.find(char::is_ascii_alphabetic);
        }
    }
    plain
}

#[test]
fn nothing_is_wider_than_the_terminal_with_colours_or_without() {
    for (width, upright) in [("80", true), ("200", false)] {
        for (terminal, plain) in [("dumb", true), ("xterm", true), ("xterm", false)] {
            let state = tempfile::tempdir().expect("dir");
            let mut environment = vec![("COLUMNS", width), ("LINES", "500")];
            environment.extend(plain.then_some(("NO_COLOR", "1")));
            let mut shell = shell_with(state.path(), terminal, 60_000, &environment);
            if !plain {
                darken(&mut shell);
            }
            let lines = [
                ("SELECT * FROM 'testdata/sales' LIMIT 3;", "3 rows"),
                ("SELECT * FROM 'testdata/tpch/customer.csv' LIMIT 2;", "2 rows"),
                ("SELECT * FROM 'testdata/tpch/lineitem.csv' LIMIT 2;", "2 rows"),
                ("SUMMARIZE 'testdata/tpch/nation.csv';", "4 rows"),
                ("SELECT region, sum(amount) AS total FROM 'testdata/sales' GROUP BY 1;", "4 rows"),
                (".chart", "total by region"),
                (".schema testdata/sales", "rows"),
                (".partitions testdata/sales", "8 rows"),
                ("SELECT repeat('long ', 100) AS text, 1 AS one;", "1 row"),
                ("SELECT nothing FROM 'testdata/sales';", "no column named `nothing`"),
                (".explain SELECT region, count(*) FROM 'testdata/sales' GROUP BY 1", "Stage 1"),
            ];
            for (line, answer) in lines {
                let said = ask(&mut shell, line, answer);
                assert_eq!(plain, !said.contains("\u{1b}[2m"), "{line}: {said:?}");
                let shown = uncolored(&said);
                // What is typed is shown as it is typed, again and again.
                let shown = shown.split_once("\r\n").map_or("", |(_, shown)| shown);
                let answered = shown.lines().filter(|line| !line.contains("swath> "));
                let widest = answered.map(|line| line.chars().count()).max();
                let max = width.parse().expect("a number");
                // Plans are not cut, nor is one value a line: they may be copied.
                let is_whole = line.starts_with(".explain") || shown.contains(" row 2 ");
                assert!(is_whole || widest <= Some(max), "{line}: {shown}");
                if line.contains("customer") {
                    assert_eq!(shown.contains(" row 2 "), upright, "{shown}");
                }
            }
            send(&mut shell, ".quit");
            shell.exp_eof().expect("the end");
        }
    }
}

#[test]
fn history_is_searched_statements_are_watched_and_clusters_named() {
    let state = tempfile::tempdir().expect("dir");
    let mut shell = shell_with(state.path(), "xterm", 60_000, &[("NO_COLOR", "1")]);
    ask(&mut shell, "SELECT 40 + 2 AS kept_in_history;", "1 row");
    ask(&mut shell, "SELECT 1 AS other;", "1 row");
    shell.send_control('r').expect("searches");
    shell.send("kept_in").expect("takes keys");
    shell.flush().expect("sent");
    shell.exp_string("SELECT 40 + 2 AS kept_in_history;").expect("found");
    send(&mut shell, "");
    shell.exp_regex("42\r\n").expect("the answer again");
    shell.exp_string("swath> ").expect("a prompt");
    send(&mut shell, ".watch SELECT count(*) AS watched FROM 'testdata/traps/zeros.csv'");
    shell.exp_string("watched\r\n").expect("an answer");
    shell.send_control('c').expect("interrupts");
    shell.exp_string("swath> ").expect("a prompt");
    ask(&mut shell, ".connect df://127.0.0.1:9", "swath scheduler");
    send(&mut shell, ".quit");
    shell.exp_eof().expect("the end");
}
