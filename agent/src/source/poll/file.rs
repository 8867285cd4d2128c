//! Files of procfs, sysfs and cgroups as text.

use std::path::Path;

use super::misses::Miss;

/// The content, with what is not UTF-8 replaced.
pub(super) fn read(path: &Path) -> Result<String, Miss> {
    Ok(String::from_utf8_lossy(&std::fs::read(path)?).into_owned())
}
