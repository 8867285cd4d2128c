//! Recordings: the engine's input stream, one JSON object a line, in an LZ4 frame with checksums.
//!
//! Self-describing on purpose: a field that a later weir adds reads as its default in an older file, and `lz4 -dc` and `jq` are
//! enough to inspect one.

mod histogram;
mod name;
mod poll;
mod queue;
mod record;
mod tap;
mod wire;

use std::{
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{BufMut as _, BytesMut};
use lz4_flex::frame::{BlockMode, FrameDecoder, FrameEncoder, FrameInfo};
use weir_engine::Input;

pub use tap::{Tap, WhenFull};
use wire::{Header, Line};

/// Raised when an older weir would misread a new file. 2 adds polls of the host.
const VERSION: u32 = 2;
/// Every LZ4 frame starts with this.
const LZ4_MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
/// Buffer for a line: an edge with no empty bucket fits, so the buffer does not grow.
const LONGEST_WRITTEN: usize = 16 << 10;
/// Far longer than any input: a longer line is damage.
const MAX_LINE: u64 = 1 << 20;

/// Writes a recording, in the caller's own time.
pub struct Recorder {
    file: Compressor,
    line: Encoder,
}

impl Recorder {
    /// Starts a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let mut recorder = Self { file: Compressor::create(path)?, line: Encoder::default() };
        recorder.put(&Line::Header(Header::of_version(VERSION)))?;
        Ok(recorder)
    }

    /// Appends one input.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&mut self, input: &Input<'_>) -> Result<()> {
        self.put(&Line::from(input))
    }

    fn put(&mut self, line: &Line<'_>) -> Result<()> {
        self.file.append(self.line.encode(line)?)
    }

    /// Closes the file properly: a file without this end is reported as truncated.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self) -> Result<()> {
        self.put(&Line::End)?;
        self.file.finish()
    }
}

/// Lines as bytes, in a buffer that is used again.
struct Encoder(BytesMut);

impl Default for Encoder {
    fn default() -> Self {
        Self(BytesMut::with_capacity(LONGEST_WRITTEN))
    }
}

impl Encoder {
    fn encode(&mut self, line: &Line<'_>) -> Result<&[u8]> {
        self.0.clear();
        serde_json::to_writer((&mut self.0).writer(), line).context("encode a recording line")?;
        self.0.put_u8(b'\n');
        Ok(&self.0)
    }
}

/// The file.
struct Compressor(FrameEncoder<BufWriter<File>>);

impl Compressor {
    fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let info = FrameInfo::new().content_checksum(true).block_checksums(true).block_mode(BlockMode::Linked);
        Ok(Self(FrameEncoder::with_frame_info(info, BufWriter::new(file))))
    }

    fn append(&mut self, lines: &[u8]) -> Result<()> {
        self.0.write_all(lines).context("write the recording")
    }

    fn finish(self) -> Result<()> {
        let mut out = self.0.finish().context("finish the recording")?;
        out.flush().context("write the recording")
    }
}

/// Passes all inputs of a recording to `sink`.
///
/// # Errors
/// When the file is not a recording, is of a newer version, is damaged or cut off: the message says which.
pub fn play(path: &Path, sink: &mut dyn FnMut(Input<'_>)) -> Result<()> {
    let name = path.display();
    let mut file = BufReader::new(File::open(path).with_context(|| format!("cannot read {name}"))?);
    let magic = file.fill_buf().with_context(|| format!("cannot read {name}"))?;
    ensure!(!magic.is_empty(), "{name} is empty: recording it was interrupted, or it is no recording");
    ensure!(magic.starts_with(&LZ4_MAGIC), "{name} is no weir recording (it does not start with an LZ4 frame)");
    let mut lines = BufReader::new(FrameDecoder::new(file));
    let mut ended = false;
    let mut number = 0u64;
    while let Some(line) =
        next_line(&mut lines).with_context(|| format!("{name} is damaged or cut off after line {number}"))?
    {
        number += 1;
        ensure!(!ended, "{name} goes on after its end (line {number}): it is damaged");
        let line: Line<'_> = match serde_json::from_slice(&line) {
            Ok(line) => line,
            Err(_) if number == 1 => bail!("{name} is an LZ4 file, but no weir recording"),
            Err(error) => return Err(error).with_context(|| format!("{name}: line {number} makes no sense")),
        };
        match (number, line) {
            (1, Line::Header(header)) => header.check(VERSION).with_context(|| name.to_string())?,
            (1, _) => bail!("{name} is no weir recording: its first line is no header"),
            (_, Line::Header(_)) => bail!("{name}: a second header at line {number}"),
            (_, Line::End) => ended = true,
            (_, line) => line.emit(sink),
        }
    }
    ensure!(ended && is_closed(path)?, "{name} is cut off after line {number}: the recording was not finished");
    Ok(())
}

/// Whether the frame has its end mark (four zeroes) and checksum. The decoder accepts a file that ends before them as complete,
/// without comparing the checksum.
fn is_closed(path: &Path) -> Result<bool> {
    let mut file = File::open(path)?;
    let mut end = [1; 8];
    file.seek(SeekFrom::End(-(end.len() as i64)))?;
    file.read_exact(&mut end)?;
    Ok(end.starts_with(&[0; 4]))
}

fn next_line(from: &mut impl std::io::BufRead) -> Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    from.take(MAX_LINE).read_until(b'\n', &mut line)?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) => bail!("a line without end"),
    }
}

#[cfg(test)]
mod tests;
