//! Generic netlink: families of requests that modules of the kernel add, found by name (include/uapi/linux/genetlink.h).

use nix::errno::Errno;

use crate::{
    channel::{Answers, Channel, RequestError, Requests},
    fields::Fields,
};

/// `struct genlmsghdr`: command, version, two bytes of nothing.
pub(crate) const HEADER: usize = 4;

/// `GENL_ID_CTRL`: the family of families.
const CONTROL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

/// What stands before the attributes of a request.
pub(crate) const fn head(command: u8, version: u8) -> [u8; HEADER] {
    [command, version, 0, 0]
}

/// The number of a family: ENOENT where no module has added it, after the kernel has tried to load one.
pub(crate) fn family(channel: &mut Channel, name: &str) -> Result<u16, RequestError> {
    let mut requests = Requests::default();
    requests.add(CONTROL, 0, Answers::One, &head(CTRL_CMD_GETFAMILY, 1), |w| w.str(CTRL_ATTR_FAMILY_NAME, name));
    let mut family = None;
    channel.read(&mut requests, |_, object| {
        let fields = Fields::new("generic netlink family", object.attrs_after(HEADER));
        family = Some(fields.read(CTRL_ATTR_FAMILY_ID, "number", |id| id.u16())?);
        Ok(())
    })?;
    family.ok_or(RequestError::Channel(Errno::ENOBUFS.into()))
}
