//! IP Virtual Server: virtual servers that pick an endpoint for each connection, and tables of nf_tables for what they cannot do.
//!
//! ```text
//!   DesiredPort --render--> addresses of kube-ipvs0, virtual servers, destinations      `ip`, `ipvsadm`
//!                      `--> elements of the tables beside (portolan_nftables)           `nft`
//! ```
//!
//! | module | what |
//! | --- | --- |
//! | `key`, `value` | the objects, as words |
//! | `dialect` | how Services become such objects, and what depends on what |
//! | `kernel`, `run` | writing them |
//! | `observed` | reading them, and hearing of them |
//! | `glance` | what of them is seen at each resync |
//! | `text`, `listed`, `remembered`, `inspect` | as the programs take and list them; what they say to people |
//! | `figures` | what is counted for this backend alone |
//! | `probe` | what of all this a node has not |
//! | `predecessor`, `drain` | what kube-proxy's ipvs mode leaves, and how its connections end |

mod dialect;
mod drain;
mod figures;
mod glance;
mod inspect;
mod kernel;
mod key;
mod listed;
mod observed;
mod predecessor;
mod probe;
mod remembered;
mod run;
mod text;
mod value;

pub use dialect::Ipvs;
pub use inspect::Own;
pub use kernel::{Error, Kernel};
pub use key::{Key, LINK};
pub use predecessor::Leftovers;
pub use probe::{Missing, probe};
pub use value::{Server, Value};
