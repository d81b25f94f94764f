//! Files that another program wrote, read as that program and as the standard library read them.

use std::fmt::Write;
use std::path::Path;

use swath::{Engine, ErrorKind};

/// A fixed sequence of pseudo-random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// All values of a file as text; NULL and the empty text are the same to the other reader.
fn read(engine: &Engine, call: &str) -> Result<Vec<Vec<String>>, swath::Error> {
    let answer = engine.query(&format!("SELECT * FROM {call} ORDER BY file_row_number"))?;
    let mut rows = Vec::new();
    for batch in answer.batches() {
        for row in 0..batch.num_rows() {
            rows.push(
                batch
                    .columns()
                    .iter()
                    .map(|column| {
                        datafusion::arrow::util::display::array_value_to_string(column, row)
                            .expect("printable")
                    })
                    .collect(),
            );
        }
    }
    Ok(rows)
}

/// How many files to try; SWATH_FUZZ_ROUNDS asks for more.
fn rounds() -> u32 {
    std::env::var("SWATH_FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(400)
}

/// Where the sequence starts: always at the same place, unless more rounds are asked for.
#[expect(clippy::print_stdout, reason = "a failure must be repeatable")]
fn seed(own: u64) -> u64 {
    let more = std::env::var_os("SWATH_FUZZ_ROUNDS").map(|_| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0, |now| now.as_nanos() as u64)
    });
    let seed = more.unwrap_or(own);
    println!("seed {seed}");
    seed
}

fn engines() -> Vec<Engine> {
    [(1, 8192), (3, 5)]
        .into_iter()
        .map(|(threads, rows)| Engine::builder().threads(threads).batch_rows(rows).build())
        .collect::<Result<_, _>>()
        .expect("engines")
}

/// Values of every kind that a field can hold, in every dialect that the `csv` crate writes.
#[test]
fn files_of_the_csv_crate_are_read_as_it_reads_them() {
    const PIECES: [&str; 18] = [
        "",
        "a",
        "1",
        "007",
        "-2.5",
        "x y",
        ",",
        ";",
        "\t",
        "|",
        "\"",
        "\n",
        "\r\n",
        "'",
        "ä€😀",
        "#",
        "NA",
        "\\",
    ];
    let engines = engines();
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("f.csv");
    let mut random = Random(seed(7));
    for round in 0..rounds() {
        let delimiter = *random.pick(&[&b',', &b';', &b'\t', &b'|']);
        let style = *random.pick(&[
            &csv::QuoteStyle::Necessary,
            &csv::QuoteStyle::Always,
            &csv::QuoteStyle::NonNumeric,
        ]);
        let is_crlf = random.below(3) == 0;
        let ends = if is_crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer = csv::WriterBuilder::new()
            .delimiter(delimiter)
            .quote_style(style)
            .terminator(ends)
            .from_writer(Vec::new());
        let width = 2 + random.below(4);
        let names: Vec<String> = (0..width).map(|idx| format!("c{idx}")).collect();
        writer.write_record(&names).expect("written");
        for _ in 0..random.below(30) {
            let record: Vec<String> = (0..width)
                .map(|_| (0..random.below(4)).map(|_| random.pick(&PIECES)).collect())
                .collect();
            writer.write_record(&record).expect("written");
        }
        let mut bytes = writer.into_inner().expect("written");
        if random.below(4) == 0 {
            bytes.splice(0..0, [0xef, 0xbb, 0xbf]);
        }
        if random.below(4) == 0 {
            // No newline at the end.
            bytes.truncate(bytes.len() - if is_crlf { 2 } else { 1 });
        }
        std::fs::write(&path, &bytes).expect("written");
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(&bytes[..]);
        let expected: Vec<Vec<String>> = reader
            .records()
            .map(|record| record.expect("well-formed").iter().map(str::to_string).collect())
            .collect();
        let delimiter =
            if delimiter == b'\t' { r"\t".into() } else { char::from(delimiter).to_string() };
        let call = format!(
            "read_csv('{}', delim => '{delimiter}', quote => '\"', escape => '', comment => '', \
             header => true, skip => 0, encoding => 'utf-8', all_varchar => true)",
            path.display()
        );
        for engine in &engines {
            let found = read(engine, &call).unwrap_or_else(|error| {
                panic!("round {round}: {error}\n{}", String::from_utf8_lossy(&bytes))
            });
            assert_eq!(found, expected, "round {round}:\n{}", String::from_utf8_lossy(&bytes));
        }
    }
}

/// Whatever the bytes, reading ends with rows or with an error of the data; all settings agree.
#[test]
fn any_bytes_are_rows_or_an_error() {
    const PIECES: [&[u8]; 16] = [
        b"a,b,c\n",
        b"1,2,3\n",
        b"\"x\ny\",2,3\n",
        b"\"open,1\n",
        b"5\" pipe,1,2\n",
        b"\0",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\r",
        b"\r\n",
        b"\"\"",
        b",",
        b"\"a\"b\"\n",
        b"\xc3",
        b"# no\n",
        b"1,2\n",
    ];
    let engines = engines();
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("f.csv");
    let mut random = Random(seed(11));
    let mut read_count = 0;
    for _ in 0..rounds() {
        let bytes: Vec<u8> =
            (0..random.below(24)).flat_map(|_| random.pick(&PIECES).iter().copied()).collect();
        if bytes.is_empty() {
            continue;
        }
        std::fs::write(&path, &bytes).expect("written");
        let options = random.pick(&[
            "",
            ", ragged => 'pad'",
            ", on_error => 'null'",
            ", on_error => 'reject'",
        ]);
        let call = format!("read_csv('{}'{options})", path.display());
        let outcomes: Vec<String> = engines
            .iter()
            .map(|engine| match read(engine, &call) {
                Ok(rows) => format!("{rows:?}"),
                Err(error) => {
                    assert!(
                        matches!(error.kind(), ErrorKind::Data | ErrorKind::Limit),
                        "{error} ({:?}) for {:?}",
                        error.kind(),
                        String::from_utf8_lossy(&bytes)
                    );
                    error.to_string()
                }
            })
            .collect();
        read_count += usize::from(outcomes[0].starts_with('['));
        assert_eq!(outcomes[0], outcomes[1], "{:?}", String::from_utf8_lossy(&bytes));
    }
    assert!(read_count > 50, "{read_count} files were read");
}

/// Numbers are those that the standard library reads, to the last bit.
#[test]
fn numbers_are_those_of_the_standard_library() {
    let mut random = Random(3);
    let mut text = String::from("i,d\n");
    let (mut integers, mut doubles) = (Vec::new(), Vec::new());
    for _ in 0..20_000 {
        let digits = 1 + random.below(18);
        let integer = random.0 as i64 % 10_i64.pow(digits as u32);
        let (whole, part) = (random.below(100_000), random.below(10_000_000));
        let double = match random.below(4) {
            0 => format!("{whole}.{part}"),
            1 => format!("-{whole}.{part:07}"),
            2 => format!("{}.{part}e{}", 1 + random.below(9), random.below(300) as i64 - 150),
            _ => format!("0.{part:09}"),
        };
        let _ = writeln!(text, "{integer},{double}");
        integers.push(integer);
        doubles.push(double.parse::<f64>().expect("a number"));
    }
    let dir = tempfile::tempdir().expect("dir");
    let path: &Path = &dir.path().join("f.csv");
    std::fs::write(path, text).expect("written");
    let engine = Engine::open().expect("opens");
    let sql = format!("SELECT i, d FROM '{}' ORDER BY file_row_number", path.display());
    let answer = engine.query(&sql).expect("answers");
    let (mut found_integers, mut found_doubles) = (Vec::new(), Vec::new());
    for batch in answer.batches() {
        use datafusion::arrow::array::AsArray;
        use datafusion::arrow::datatypes::{Float64Type, Int64Type};
        found_integers.extend_from_slice(batch.column(0).as_primitive::<Int64Type>().values());
        found_doubles.extend_from_slice(batch.column(1).as_primitive::<Float64Type>().values());
    }
    assert_eq!(found_integers, integers);
    let bits = |numbers: &[f64]| numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&found_doubles), bits(&doubles));
}
