//! The packets of SFTP version 3 (draft-ietf-secsh-filexfer-02): requests as bytes, replies from bytes. A reply is read as
//! something a stranger wrote.

use bytes::{BufMut as _, Bytes, BytesMut};

/// A reply larger than this is no reply.
pub(super) const REPLY_BYTES_MAX: usize = 256 << 10;
/// Names are not longer on any server.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// Extensions a server names at the start.
const EXTENSIONS_MAX: usize = 64;

const INIT: u8 = 1;
const VERSION: u8 = 2;
const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const WRITE: u8 = 6;
const LSTAT: u8 = 7;
const OPENDIR: u8 = 11;
const READDIR: u8 = 12;
const REMOVE: u8 = 13;
const REALPATH: u8 = 16;
const STAT: u8 = 17;
const RENAME: u8 = 18;
const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const NAME: u8 = 104;
const ATTRS: u8 = 105;
const EXTENDED: u8 = 200;
const EXTENDED_REPLY: u8 = 201;

const ATTR_SIZE: u32 = 1;
const ATTR_UIDGID: u32 = 2;
const ATTR_PERMISSIONS: u32 = 4;
const ATTR_ACMODTIME: u32 = 8;
const ATTR_EXTENDED: u32 = 0x8000_0000;

const OPEN_WRITE: u32 = 2;
const OPEN_CREATE: u32 = 8;
const OPEN_EXCLUSIVE: u32 = 32;

/// One request, without its number.
pub(super) enum Request<'a> {
    /// For writing; it must not be there yet.
    Create(&'a str),
    /// For writing; it must be there already.
    Reopen(&'a str),
    Close(&'a [u8]),
    /// Its data goes behind it.
    Write {
        handle: &'a [u8],
        offset: u64,
    },
    Stat(&'a str),
    Lstat(&'a str),
    OpenFolder(&'a str),
    ReadFolder(&'a [u8]),
    Remove(&'a str),
    RealPath(&'a str),
    Rename(&'a str, &'a str),
    PosixRename(&'a str, &'a str),
    Sync(&'a [u8]),
    Limits,
    Space(&'a str),
}

/// The first packet.
pub(super) fn init() -> Bytes {
    Bytes::from_static(&[0, 0, 0, 5, INIT, 0, 0, 0, 3])
}

/// A request as it goes on the wire, before `data` bytes of data that a write has behind it.
pub(super) fn encode(id: u32, request: &Request<'_>, data: usize) -> Bytes {
    let mut packet = Packet(BytesMut::with_capacity(256));
    packet.0.put_u32(0);
    match request {
        Request::Create(path) => {
            packet.text(OPEN, id, path);
            packet.0.put_u32(OPEN_WRITE | OPEN_CREATE | OPEN_EXCLUSIVE);
            packet.0.put_u32(0);
        }
        Request::Reopen(path) => {
            packet.text(OPEN, id, path);
            packet.0.put_u32(OPEN_WRITE);
            packet.0.put_u32(0);
        }
        Request::Close(handle) => packet.handle(CLOSE, id, handle),
        Request::Write { handle, offset } => {
            packet.handle(WRITE, id, handle);
            packet.0.put_u64(*offset);
            packet.0.put_u32(length(data));
        }
        Request::Stat(path) => packet.text(STAT, id, path),
        Request::Lstat(path) => packet.text(LSTAT, id, path),
        Request::OpenFolder(path) => packet.text(OPENDIR, id, path),
        Request::ReadFolder(handle) => packet.handle(READDIR, id, handle),
        Request::Remove(path) => packet.text(REMOVE, id, path),
        Request::RealPath(path) => packet.text(REALPATH, id, path),
        Request::Rename(from, to) => {
            packet.text(RENAME, id, from);
            packet.string(to.as_bytes());
        }
        Request::PosixRename(from, to) => {
            packet.text(EXTENDED, id, POSIX_RENAME);
            packet.string(from.as_bytes());
            packet.string(to.as_bytes());
        }
        Request::Sync(handle) => {
            packet.text(EXTENDED, id, FSYNC);
            packet.string(handle);
        }
        Request::Limits => packet.text(EXTENDED, id, LIMITS),
        Request::Space(path) => {
            packet.text(EXTENDED, id, STATVFS);
            packet.string(path.as_bytes());
        }
    }
    packet.finish(data)
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a packet is far below 4 GiB")
}

/// The extensions that are used where they are offered.
pub(super) const FSYNC: &str = "fsync@openssh.com";
pub(super) const LIMITS: &str = "limits@openssh.com";
pub(super) const POSIX_RENAME: &str = "posix-rename@openssh.com";
pub(super) const STATVFS: &str = "statvfs@openssh.com";

struct Packet(BytesMut);

impl Packet {
    fn string(&mut self, bytes: &[u8]) {
        self.0.put_u32(length(bytes.len()));
        self.0.put_slice(bytes);
    }

    fn handle(&mut self, kind: u8, id: u32, handle: &[u8]) {
        self.0.put_u8(kind);
        self.0.put_u32(id);
        self.string(handle);
    }

    fn text(&mut self, kind: u8, id: u32, text: &str) {
        self.handle(kind, id, text.as_bytes());
    }

    fn finish(mut self, data: usize) -> Bytes {
        let length = length(self.0.len() - 4 + data);
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        self.0.freeze()
    }
}

/// What is known of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) size: Option<u64>,
    pub(super) permissions: Option<u32>,
    pub(super) modified_seconds: Option<u32>,
}

impl Attributes {
    /// Whether it is a file and nothing else, as far as the server says.
    pub(super) fn is_file(&self) -> bool {
        self.permissions.is_some_and(|bits| bits & 0o170_000 == 0o100_000)
    }

    pub(super) fn is_folder(&self) -> bool {
        self.permissions.is_some_and(|bits| bits & 0o170_000 == 0o040_000)
    }
}

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) name: String,
    pub(super) attributes: Attributes,
}

/// One reply, without its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Status { code: u32, message: String },
    Handle(Bytes),
    Names(Vec<Name>),
    Attributes(Attributes),
    Extended(Bytes),
}

/// What the server says of itself at the start: its version and extensions. `None` when it is no such packet.
pub(super) fn version(packet: &[u8]) -> Option<(u32, Vec<(String, String)>)> {
    let mut reader = Reader(packet);
    if reader.byte()? != VERSION {
        return None;
    }
    let version = reader.number()?;
    let mut extensions = Vec::new();
    while !reader.0.is_empty() && extensions.len() < EXTENSIONS_MAX {
        extensions.push((reader.text()?, reader.text()?));
    }
    Some((version, extensions))
}

/// A reply with its number. `None` when it is none.
pub(super) fn decode(packet: &Bytes) -> Option<(u32, Reply)> {
    let mut reader = Reader(packet);
    let kind = reader.byte()?;
    let id = reader.number()?;
    let reply = match kind {
        STATUS => {
            let code = reader.number()?;
            // Some servers leave the words out.
            Reply::Status { code, message: reader.text().unwrap_or_default() }
        }
        HANDLE => Reply::Handle(Bytes::copy_from_slice(reader.string(HANDLE_BYTES_MAX)?)),
        NAME => {
            let count = usize::try_from(reader.number()?).ok()?;
            let mut names = Vec::new();
            for _ in 0..count {
                let name = reader.text()?;
                // The long form, for people.
                reader.string(TEXT_BYTES_MAX)?;
                names.push(Name { name, attributes: reader.attributes()? });
            }
            Reply::Names(names)
        }
        ATTRS => Reply::Attributes(reader.attributes()?),
        EXTENDED_REPLY => Reply::Extended(packet.slice(packet.len() - reader.0.len()..)),
        _ => return None,
    };
    Some((id, reply))
}

/// Handles are opaque, and short (section 6.3).
const HANDLE_BYTES_MAX: usize = 256;

/// The numbers of an extended reply.
pub(super) fn numbers<const N: usize>(reply: &[u8]) -> Option<[u64; N]> {
    let mut reader = Reader(reply);
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = reader.long()?;
    }
    Some(numbers)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*first))
    }

    fn long(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*first))
    }

    fn string(&mut self, bytes_max: usize) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok().filter(|length| *length <= bytes_max)?;
        let (first, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(first)
    }

    fn text(&mut self) -> Option<String> {
        self.string(TEXT_BYTES_MAX).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    fn attributes(&mut self) -> Option<Attributes> {
        let flags = self.number()?;
        let mut attributes = Attributes::default();
        if flags & ATTR_SIZE != 0 {
            attributes.size = Some(self.long()?);
        }
        if flags & ATTR_UIDGID != 0 {
            self.long()?;
        }
        if flags & ATTR_PERMISSIONS != 0 {
            attributes.permissions = Some(self.number()?);
        }
        if flags & ATTR_ACMODTIME != 0 {
            self.number()?;
            attributes.modified_seconds = Some(self.number()?);
        }
        if flags & ATTR_EXTENDED != 0 {
            for _ in 0..self.number()? {
                self.string(TEXT_BYTES_MAX)?;
                self.string(TEXT_BYTES_MAX)?;
            }
        }
        Some(attributes)
    }
}

#[cfg(test)]
mod tests;
