//! A CSV text gives the same rows, errors and rejects however it comes and whoever cuts it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swath::formats::csv::dialect::{CsvOptions, Ragged};
use swath::formats::csv::probe::{How, read};
use swath::formats::csv::reject::OnError;
use swath::formats::csv::sniff;

fuzz_target!(|data: &[u8]| {
    let Some((knobs, text)) = data.split_first_chunk::<3>() else { return };
    let [how, step, end] = *knobs;
    let ragged = [Ragged::Pad, Ragged::Error, Ragged::Reject, Ragged::Fit][how as usize % 4];
    let on_error = [OnError::Error, OnError::Null, OnError::Reject][(how / 4) as usize % 3];
    let how = How { ragged, on_error, with_scanner: false, with_prefilter: false };
    let end = if end == 255 { u64::MAX } else { u64::from(end) };
    let expected = read(text, usize::MAX, end, how);
    for step in [1 + step as usize % 70, usize::MAX] {
        let found = read(text, step, end, How { with_scanner: true, ..how });
        assert_eq!(found, expected, "{:?} by {step}", String::from_utf8_lossy(text));
    }
    // Whatever a file holds, a look at it ends in a layout or an error.
    for lenient in [false, true] {
        let options = CsvOptions { lenient, ..CsvOptions::default() };
        let encoding = sniff::encoding_of(text, false, &options);
        let _ = sniff::sniff("f.csv", text, false, encoding, &options);
    }
});
