//! Colours: what a line is, as one of few roles, and the escape codes of each.

/// The role of a line or word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Paint {
    /// As everything else.
    #[default]
    Plain,
    /// A heading.
    Head,
    /// As it should be.
    Good,
    /// Worth a second look.
    Warn,
    /// Lost, damaged, refused.
    Bad,
    /// Less important than the rest.
    Dim,
}

impl Paint {
    const fn sequence(self) -> &'static str {
        match self {
            Paint::Plain => "",
            Paint::Head => "1",
            Paint::Good => "32",
            Paint::Warn => "33",
            Paint::Bad => "31",
            Paint::Dim => "2",
        }
    }

    /// The text in this role, if there are colours.
    pub(crate) fn on(self, text: &str, color: bool) -> String {
        match (color, self) {
            (false, _) | (_, Paint::Plain) => text.to_owned(),
            (true, paint) => format!("\x1b[{}m{text}\x1b[0m", paint.sequence()),
        }
    }

    /// The role of an exit code of a verdict.
    pub(crate) const fn of_exit(code: u8) -> Paint {
        match code {
            0 => Paint::Good,
            3 => Paint::Warn,
            _ => Paint::Bad,
        }
    }
}
