//! What operators' commands found out, to standard output.

use std::fmt::Display;
use std::io::{self, Write};

use super::exit::Exit;

/// A command's result, gathered before it is printed.
#[derive(Debug, Default)]
pub(super) struct Told(String);

impl Told {
    /// Adds lines, with their ends.
    pub(super) fn text(&mut self, text: impl Display) {
        self.0 += &text.to_string();
    }

    pub(super) fn line(&mut self, line: impl Display) {
        self.text(format_args!("{line}\n"));
    }

    /// Prints it, and returns how the command ends. Whoever reads may have heard enough; whatever else keeps a result from being written
    /// is a failure, however good the result is.
    pub(super) fn print(&self, exit: Exit) -> Exit {
        self.write(exit, &mut io::stdout().lock())
    }

    #[cfg(test)]
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    fn write(&self, exit: Exit, out: &mut impl Write) -> Exit {
        match out.write_all(self.0.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                eprintln!("cannot write to standard output: {error}");
                Exit::Usage
            }
            Ok(()) | Err(_) => exit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_is_gone_changes_nothing_and_a_full_disk_is_a_failure() {
        let (mut told, mut out) = (Told::default(), Vec::new());
        told.line("denied");
        assert_eq!(told.write(Exit::Refused, &mut out), Exit::Refused);
        assert_eq!(out, b"denied\n");
        let broken = |kind, exit| told.write(exit, &mut Failing(kind));
        assert_eq!(broken(io::ErrorKind::BrokenPipe, Exit::Refused), Exit::Refused);
        assert_eq!(broken(io::ErrorKind::StorageFull, Exit::Success), Exit::Usage);
    }
}
