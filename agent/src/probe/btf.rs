//! Byte offsets of kernel structure members, from the kernel's own type information (BTF).
//!
//! Only positions of types are kept, not the types: 0.6 MiB beside the 5 MiB file, both dropped once the offsets are known. The
//! input is not trusted: no bytes make it panic.

use std::{collections::HashMap, path::Path};

use anyhow::{Context as _, Result, bail, ensure};

/// The file of kernels since 5.4 with CONFIG_DEBUG_INFO_BTF.
pub(crate) const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

const KIND_PTR: u32 = 2;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
/// typedef, volatile, const, restrict, type tag: names for another type.
const ALIASES: [u32; 5] = [KIND_TYPEDEF, 9, 10, 11, 18];
/// The prefix of the type of a tracepoint's prototype.
const TRACEPOINT: &str = "btf_trace_";
/// Bytes of the header that every type has.
const HEADER: usize = 12;
/// Aliases and anonymous members of real kernels nest far less deeply.
const MAX_DEPTH: u32 = 32;

/// A parsed BTF blob.
pub(crate) struct Btf {
    data: Vec<u8>,
    strings: usize,
    /// Position of each type; index is the type id, 0 is void.
    types: Vec<u32>,
    structs: HashMap<String, u32>,
    typedefs: HashMap<String, u32>,
}

/// A function of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    id: u32,
    /// Number of its parameters.
    pub(crate) parameters: usize,
}

/// One type's header.
struct Type {
    at: usize,
    name: u32,
    kind: u32,
    members: usize,
    bitfields: bool,
    size_or_type: u32,
}

impl Btf {
    /// Reads the running kernel's.
    pub(crate) fn of_kernel(path: &Path) -> Result<Self> {
        let data = std::fs::read(path).with_context(|| format!("cannot read the kernel's BTF, {}", path.display()))?;
        Self::parse(data).with_context(|| format!("the kernel's BTF, {}", path.display()))
    }

    /// Parses a blob in this machine's byte order.
    pub(crate) fn parse(data: Vec<u8>) -> Result<Self> {
        ensure!(data.len() >= 24 && data[..2] == 0xeb9f_u16.to_ne_bytes(), "not BTF: wrong magic or too short");
        let mut btf = Self { data, strings: 0, types: vec![0], structs: HashMap::new(), typedefs: HashMap::new() };
        let header = btf.word(4)? as usize;
        let mut at = header + btf.word(8)? as usize;
        let end = at + btf.word(12)? as usize;
        btf.strings = header + btf.word(16)? as usize;
        ensure!(end <= btf.data.len() && btf.strings <= btf.data.len(), "truncated BTF");
        while at < end {
            let id = btf.types.len() as u32;
            let found = btf.header(at)?;
            // Only types that lookups start from have an owned name.
            match found.kind {
                KIND_STRUCT => drop(btf.structs.entry(btf.name(found.name)?.to_owned()).or_insert(id)),
                KIND_TYPEDEF => {
                    let name = btf.name(found.name)?;
                    if name.starts_with(TRACEPOINT) {
                        btf.typedefs.entry(name.to_owned()).or_insert(id);
                    }
                }
                _ => {}
            }
            btf.types.push(at as u32);
            at += HEADER + trailer(found.kind, found.members)?;
        }
        Ok(btf)
    }

    /// The byte offset of `structure.member[.member]`, looking through anonymous members.
    pub(crate) fn offset(&self, path: &str) -> Result<u32> {
        let mut parts = path.split('.');
        let structure = parts.next().unwrap_or_default();
        let mut id = *self.structs.get(structure).with_context(|| format!("this kernel has no struct {structure}"))?;
        let mut bits = 0;
        for member in parts {
            let (offset, member_type) = self
                .member(id, member, 0)?
                .with_context(|| format!("this kernel has no {path} ({member} is missing)"))?;
            bits += offset;
            id = member_type;
        }
        ensure!(bits % 8 == 0, "{path} is a bit field in this kernel");
        Ok(bits / 8)
    }

    /// Number of parameters of a tracepoint's typed prototype, the context included; none if the kernel lacks it.
    pub(crate) fn tracepoint_parameters(&self, tracepoint: &str) -> Result<Option<usize>> {
        let Some(&id) = self.typedefs.get(&format!("{TRACEPOINT}{tracepoint}")) else { return Ok(None) };
        let mut at = self.resolved(id, 0)?;
        if at.kind == KIND_PTR {
            at = self.resolved(at.size_or_type, 0)?;
        }
        ensure!(at.kind == KIND_FUNC_PROTO, "{TRACEPOINT}{tracepoint} is no function");
        Ok(Some(at.members))
    }

    /// Those of these functions that the kernel has. Functions that were inlined everywhere, or cloned by the compiler, are
    /// missing.
    pub(crate) fn functions(&self, wanted: &[&str]) -> Result<HashMap<String, Function>> {
        let mut found = HashMap::new();
        for (id, &at) in self.types.iter().enumerate().skip(1) {
            let function = self.header(at as usize)?;
            if function.kind != KIND_FUNC {
                continue;
            }
            let name = self.name(function.name)?;
            if wanted.contains(&name) {
                let prototype = self.resolved(function.size_or_type, 0)?;
                ensure!(prototype.kind == KIND_FUNC_PROTO, "{name} is no function");
                let function = Function { id: id as u32, parameters: prototype.members };
                found.entry(name.to_owned()).or_insert(function);
            }
        }
        Ok(found)
    }

    /// A blob of only these functions and these tracepoints' prototypes, each at its own id: enough to look ids up by name, and
    /// a fraction of the work of parsing all types.
    pub(crate) fn index(&self, functions: &HashMap<String, Function>, tracepoints: &[&str]) -> Vec<u8> {
        let typedefs = tracepoints.iter().map(|tracepoint| format!("{TRACEPOINT}{tracepoint}"));
        let typedefs = typedefs.filter_map(|name| self.typedefs.get(&name).map(|&id| (KIND_TYPEDEF, id, name)));
        let functions = functions.iter().map(|(name, function)| (KIND_FUNC, function.id, name.clone()));
        let (mut types, mut strings) = (Vec::new(), vec![0]);
        for (kind, id, name) in functions.chain(typedefs) {
            // The first id is 1. A header of zeroes is a type of no kind.
            let at = HEADER * (id as usize - 1);
            types.resize(types.len().max(at + HEADER), 0);
            types[at..at + 4].copy_from_slice(&(strings.len() as u32).to_ne_bytes());
            types[at + 4..at + 8].copy_from_slice(&(kind << 24).to_ne_bytes());
            strings.extend(name.bytes().chain([0]));
        }
        let (types_length, strings_length) = (types.len() as u32, strings.len() as u32);
        let mut blob = Vec::with_capacity(24 + types.len() + strings.len());
        // Magic, version, flags.
        blob.extend(0xeb9f_u16.to_ne_bytes().into_iter().chain([1, 0]));
        for word in [24, 0, types_length, types_length, strings_length] {
            blob.extend(u32::to_ne_bytes(word));
        }
        blob.extend(types);
        blob.extend(strings);
        blob
    }

    /// Size of a structure or union in bytes, if the kernel has it.
    pub(crate) fn size_of(&self, wanted: &str) -> Option<u32> {
        self.types.iter().skip(1).find_map(|&at| {
            let found = self.header(at as usize).ok()?;
            let is_it = matches!(found.kind, KIND_STRUCT | KIND_UNION) && self.name(found.name).ok()? == wanted;
            is_it.then_some(found.size_or_type)
        })
    }

    /// The value of a name in an enumeration.
    pub(crate) fn enumerator(&self, enumeration: &str, wanted: &str) -> Option<u32> {
        let of_that_name = |at: &&u32| {
            let found = self.header(**at as usize).ok();
            found.is_some_and(|found| {
                found.kind == KIND_ENUM && self.name(found.name).is_ok_and(|name| name == enumeration)
            })
        };
        let found = self.header(*self.types.iter().skip(1).find(of_that_name)? as usize).ok()?;
        let values = (0..found.members).map(|member| found.at + 12 + 8 * member);
        values
            .into_iter()
            .find_map(|at| (self.name(self.word(at).ok()?).ok()? == wanted).then(|| self.word(at + 4).ok())?)
    }

    fn member(&self, id: u32, wanted: &str, depth: u32) -> Result<Option<(u32, u32)>> {
        let parent = self.resolved(id, depth)?;
        if parent.kind != KIND_STRUCT && parent.kind != KIND_UNION {
            return Ok(None);
        }
        for i in 0..parent.members {
            let at = parent.at + HEADER + 12 * i;
            let (name, member_type, mut offset) = (self.word(at)?, self.word(at + 4)?, self.word(at + 8)?);
            if parent.bitfields {
                offset &= 0xff_ffff;
            }
            let name = self.name(name)?;
            if name == wanted {
                return Ok(Some((offset, member_type)));
            }
            if name.is_empty()
                && let Some((inner, found)) = self.member(member_type, wanted, depth + 1)?
            {
                return Ok(Some((offset + inner, found)));
            }
        }
        Ok(None)
    }

    /// The type behind aliases.
    fn resolved(&self, mut id: u32, mut depth: u32) -> Result<Type> {
        loop {
            ensure!(depth < MAX_DEPTH, "BTF types nest too deeply");
            let at = *self.types.get(id as usize).context("BTF refers to a type it does not have")?;
            let found = self.header(at as usize)?;
            if !ALIASES.contains(&found.kind) {
                return Ok(found);
            }
            id = found.size_or_type;
            depth += 1;
        }
    }

    fn header(&self, at: usize) -> Result<Type> {
        let info = self.word(at + 4)?;
        Ok(Type {
            at,
            name: self.word(at)?,
            kind: (info >> 24) & 31,
            members: (info & 0xffff) as usize,
            bitfields: info >> 31 == 1,
            size_or_type: self.word(at + 8)?,
        })
    }

    fn word(&self, at: usize) -> Result<u32> {
        let bytes = self.data.get(at..at + 4).context("truncated BTF")?;
        Ok(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn name(&self, offset: u32) -> Result<&str> {
        let rest = self.data.get(self.strings + offset as usize..).context("BTF name out of bounds")?;
        let end = rest.iter().position(|b| *b == 0).context("BTF name without end")?;
        std::str::from_utf8(&rest[..end]).context("BTF name is not UTF-8")
    }
}

/// Bytes that follow a type's header.
fn trailer(kind: u32, members: usize) -> Result<usize> {
    Ok(match kind {
        1 | 14 | 17 => 4,                // INT, VAR, DECL_TAG
        3 => 12,                         // ARRAY
        4 | 5 | 15 | 19 => 12 * members, // STRUCT, UNION, DATASEC, ENUM64
        6 | 13 => 8 * members,           // ENUM, FUNC_PROTO
        2 | 7..=12 | 16 | 18 => 0,       // PTR, FWD, aliases, FUNC, FLOAT, TYPE_TAG
        _ => bail!("BTF has a kind ({kind}) newer than this weir"),
    })
}

#[cfg(test)]
mod tests {
    use aya_obj::btf::BtfKind;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn this_kernels_offsets_resolve() {
        let btf = Btf::of_kernel(Path::new(VMLINUX)).expect("BTF");
        assert_eq!(btf.offset("sock_common.skc_family").expect("offset"), 16);
        assert!(btf.offset("sock.sk_protocol").expect("offset") > 16);
        assert!(btf.enumerator("cgroup_subsys_id", "pids_cgrp_id").expect("enumerator") < 32);
        assert_eq!(btf.enumerator("cgroup_subsys_id", "no_such_cgrp_id"), None);
        assert_eq!(btf.enumerator("no_such_enumeration", "pids_cgrp_id"), None);
        let missing = btf.offset("sock.sk_no_such_member").expect_err("no such member");
        assert!(missing.to_string().contains("this kernel has no sock.sk_no_such_member"), "{missing}");
    }

    #[test]
    fn an_index_has_the_kernels_ids() {
        let (function, tracepoint) = ("tcp_sendmsg", "tcp_destroy_sock");
        let whole = Btf::of_kernel(Path::new(VMLINUX)).expect("BTF");
        let functions = whole.functions(&[function, "tcp_recvmsg", "weir_has_no_such_function"]).expect("functions");
        let blob = whole.index(&functions, &[tracepoint, "weir_has_no_such_tracepoint"]);
        assert!(blob.len() < whole.data.len() / 2, "{} bytes", blob.len());
        let aya = |blob: &[u8]| aya::Btf::parse(blob, aya::Endianness::default()).expect("aya's BTF");
        let (all, few) = (aya(&whole.data), aya(&blob));
        let typedef = format!("{TRACEPOINT}{tracepoint}");
        for (name, kind) in [(function, BtfKind::Func), (&typedef, BtfKind::Typedef)] {
            let expected = all.id_by_type_name_kind(name, kind).expect("a type");
            assert_eq!(few.id_by_type_name_kind(name, kind).expect("a type"), expected, "{name}");
        }
        assert!(few.id_by_type_name_kind("tcp_close", BtfKind::Func).is_err(), "not asked for");
        let none = whole.index(&HashMap::new(), &[]);
        assert!(aya(&none).id_by_type_name_kind(function, BtfKind::Func).is_err());
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_an_error(mut bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let _ = Btf::parse(bytes.clone());
            if bytes.len() > 24 {
                bytes[..2].copy_from_slice(&0xeb9f_u16.to_ne_bytes());
                bytes[4..8].copy_from_slice(&24u32.to_ne_bytes());
                bytes[8..24].copy_from_slice(&[0; 16]);
                let length = (bytes.len() - 24) as u32;
                bytes[12..16].copy_from_slice(&length.to_ne_bytes());
                if let Ok(btf) = Btf::parse(bytes) {
                    let _ = btf.offset("sock.sk_err");
                    if let Ok(functions) = btf.functions(&["f"]) {
                        let _ = btf.index(&functions, &["t"]);
                    }
                    let _ = btf.size_of("sock");
                    let _ = btf.enumerator("", "");
                }
            }
        }
    }
}
