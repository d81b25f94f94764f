//! Colours as one types: what each piece is, and which brackets and quotes have no partner.

use std::collections::HashSet;
use std::time::Duration;

use terminal_colorsaurus::{QueryOptions, ThemeMode, theme_mode};

use super::command::is_command;
use super::pieces::{Kind, pieces};
use crate::error::{Error, Result};

/// Longer texts are shown as they are: each key would be felt.
const TEXT_LEN_MAX_BYTES: usize = 64 * 1024;
/// Every terminal answers at once or says that it does not know; this is for those that are dead.
const THEME_TIMEOUT: Duration = Duration::from_millis(300);

/// SGR codes for the kinds of pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Palette {
    keyword: &'static str,
    function: &'static str,
    text: &'static str,
    number: &'static str,
    comment: &'static str,
    wrong: &'static str,
}

const DARK: Palette = Palette {
    keyword: "1;94",
    function: "96",
    text: "92",
    number: "95",
    comment: "90",
    wrong: "1;91",
};
const LIGHT: Palette = Palette {
    keyword: "1;34",
    function: "36",
    text: "32",
    number: "35",
    comment: "90",
    wrong: "1;31",
};

impl Palette {
    /// What suits the terminal's background.
    pub(super) fn of_terminal() -> Self {
        let mut options = QueryOptions::default();
        options.timeout = THEME_TIMEOUT;
        match theme_mode(options) {
            Ok(ThemeMode::Light) => LIGHT,
            _ => DARK,
        }
    }

    /// By name; None is no colours.
    pub(super) fn of_name(name: &str) -> Result<Option<Self>> {
        match name {
            "dark" => Ok(Some(DARK)),
            "light" => Ok(Some(LIGHT)),
            "off" => Ok(None),
            _ => Err(Error::usage("colours are for dark or light terminals, or off")
                .hint(".colors light")),
        }
    }

    /// Colours a text that is being typed; its width stays.
    pub(super) fn highlight(&self, text: &str) -> String {
        if text.len() > TEXT_LEN_MAX_BYTES || is_command(text) {
            return text.to_string();
        }
        let pieces = pieces(text);
        let shown: Vec<(&str, Kind)> =
            pieces.iter().map(|piece| (&text[piece.range.clone()], piece.kind)).collect();
        let lonely = lonely(&shown);
        let mut colored = String::with_capacity(2 * text.len());
        for (idx, (text, kind)) in shown.into_iter().enumerate() {
            let code = match kind {
                Kind::Keyword => self.keyword,
                Kind::Function => self.function,
                Kind::Text => self.text,
                Kind::Number => self.number,
                Kind::Comment => self.comment,
                Kind::Endless => self.wrong,
                Kind::Open | Kind::Close if lonely.contains(&idx) => self.wrong,
                Kind::Name | Kind::Open | Kind::Close | Kind::Blank | Kind::Other => "",
            };
            if code.is_empty() {
                colored.push_str(text);
            } else {
                colored.push_str(&format!("\x1b[{code}m{text}\x1b[0m"));
            }
        }
        colored
    }
}

/// The brackets without a partner.
fn lonely(pieces: &[(&str, Kind)]) -> HashSet<usize> {
    let mut open: Vec<(usize, &str)> = Vec::new();
    let mut lonely = HashSet::new();
    for (idx, (text, kind)) in pieces.iter().enumerate() {
        match kind {
            Kind::Open => open.push((idx, text)),
            Kind::Close => match open.pop() {
                Some((_, partner))
                    if matches!((partner, *text), ("(", ")") | ("[", "]") | ("{", "}")) => {}
                partner => {
                    lonely.insert(idx);
                    lonely.extend(partner.map(|(idx, _)| idx));
                }
            },
            _ => {}
        }
    }
    lonely.extend(open.into_iter().map(|(idx, _)| idx));
    lonely
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_partner_is_red() {
        assert_eq!(
            DARK.highlight("FROM f(1) x"),
            "\x1b[1;94mFROM\x1b[0m \x1b[96mf\x1b[0m(\x1b[95m1\x1b[0m) x"
        );
        assert_eq!(LIGHT.highlight("(]"), "\x1b[1;31m(\x1b[0m\x1b[1;31m]\x1b[0m");
        assert_eq!(LIGHT.highlight("x = 'ab"), "x = \x1b[1;31m'ab\x1b[0m");
        assert_eq!(DARK.highlight(".mode csv"), ".mode csv");
    }
}
