//! Generic netlink: families of requests that modules of the kernel add, found by name (include/uapi/linux/genetlink.h).

use nix::errno::Errno;

use crate::{
    attr::Writer,
    channel::{Answer, Answers, Channel, ChannelError},
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

/// The number of a family, or why there is none: ENOENT where no module has added it, after the kernel has tried to load
/// one.
pub(crate) fn family(channel: &mut Channel, name: &str) -> Result<Result<u16, Errno>, ChannelError> {
    let mut family = Err(Errno::EBADMSG);
    let content = |w: &mut Writer<'_>| w.str(CTRL_ATTR_FAMILY_NAME, name);
    channel.ask(
        |requests| requests.add(CONTROL, 0, Answers::One, &head(CTRL_CMD_GETFAMILY, 1), content),
        |answer| match answer {
            Answer::Object(object) => {
                let id = object.attrs_after(HEADER).get(CTRL_ATTR_FAMILY_ID);
                family = id.and_then(|id| id.u16()).ok_or(Errno::EBADMSG);
            }
            Answer::Refused(errno, _) => family = Err(errno),
            Answer::Done | Answer::Interrupted | Answer::Lost => {}
        },
    )?;
    Ok(family)
}
