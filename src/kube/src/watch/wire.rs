//! Lists and watch events as they come over the wire, read straight into what core reads of an object.

use std::{borrow::Cow, marker::PhantomData};

use portolan_core::ingest::{EndpointSliceObject, NodeObject, Object, ServiceCidrObject, ServiceObject};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use crate::{client::Status, failure::Failure};

/// A kind's objects. Any JSON object is one: what is wrong with it is found later.
pub(crate) trait Watched: DeserializeOwned {
    /// The object among those of all kinds.
    fn into_object(self) -> Object;
}

macro_rules! watched {
    ($($type:ty => $variant:ident),+ $(,)?) => {$(
        impl Watched for $type {
            fn into_object(self) -> Object {
                Object::$variant(self)
            }
        }
    )+};
}
watched! {
    ServiceObject => Service,
    EndpointSliceObject => EndpointSlice,
    NodeObject => Node,
    ServiceCidrObject => ServiceCidr,
}

/// A page of a list.
#[derive(Deserialize)]
#[serde(bound = "T: Watched")]
pub(crate) struct Page<T> {
    pub(crate) metadata: PageMetadata,
    /// Go writes an empty list that nobody has made as null.
    pub(crate) items: Option<Vec<Item<T>>>,
}

/// An object of a page. Boxed as it comes: a page is a megabyte of them, which would be moved as the list of them grows.
pub(crate) struct Item<T> {
    pub(crate) object: Box<Object>,
    kind: PhantomData<T>,
}

impl<'de, T: Watched> Deserialize<'de> for Item<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Box::new(T::deserialize(deserializer)?.into_object());
        Ok(Self { object, kind: PhantomData })
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PageMetadata {
    /// The version of the whole list.
    pub(crate) resource_version: String,
    /// What gives the next page; empty on the last.
    #[serde(rename = "continue")]
    pub(crate) rest: String,
}

impl<T: Watched> Page<T> {
    pub(crate) fn read(text: &[u8]) -> Result<Self, Failure> {
        from_json(text)
    }
}

/// A line of a watch.
#[derive(Deserialize)]
struct Line<'a, T> {
    #[serde(rename = "type", borrow)]
    type_: Cow<'a, str>,
    object: T,
}

/// What a line of a watch says.
pub(crate) enum Change {
    /// This object is there.
    Applied(Object),
    /// This one is not.
    Deleted(Object),
    /// Everything up to this version was told.
    Bookmark {
        /// The version.
        version: String,
        /// Whether it ends the list that a streamed list begins with.
        ends_list: bool,
    },
    /// The watch is over.
    Failed(Failure),
}

impl Change {
    pub(crate) fn read<T: Watched>(line: &[u8]) -> Result<Self, Failure> {
        let Line { type_, object } = parse::<T>(line)?;
        match &*type_ {
            "ADDED" | "MODIFIED" => Ok(Self::Applied(object.into_object())),
            "DELETED" => Ok(Self::Deleted(object.into_object())),
            // These two are rare, and a second look at the same line costs less than a general form for all.
            "BOOKMARK" => parse::<Bookmark>(line).map(|line| {
                let Bookmark { metadata: BookmarkMetadata { resource_version, annotations } } = line.object;
                Self::Bookmark {
                    version: resource_version,
                    ends_list: annotations.ends_list.as_deref() == Some("true"),
                }
            }),
            "ERROR" => parse::<Status>(line).map(|line| Self::Failed(line.object.into_failure(None))),
            other => Err(Failure::Unreadable(format!("a watch event of type {other:?}"))),
        }
    }
}

/// Checked to be UTF-8 as a whole, also where nobody reads it: that is cheaper than each text by itself.
fn from_json<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Failure> {
    let text = str::from_utf8(text).map_err(|error| Failure::Unreadable(error.to_string()))?;
    serde_json::from_str(text).map_err(|error| Failure::Unreadable(error.to_string()))
}

fn parse<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<Line<'a, T>, Failure> {
    from_json(line)
}

#[derive(Deserialize)]
struct Bookmark {
    metadata: BookmarkMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BookmarkMetadata {
    resource_version: String,
    #[serde(default)]
    annotations: BookmarkAnnotations,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct BookmarkAnnotations {
    #[serde(rename = "k8s.io/initial-events-end")]
    ends_list: Option<String>,
}
