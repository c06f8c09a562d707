//! The checks that all kinds of objects share: types, names, port names and addresses.

use std::{fmt::Arguments, net::IpAddr};

use ipnet::IpNet;
use smol_str::SmolStr;

use super::{
    field::{Field, List, Shape},
    finding::{Refused, Report},
    raw::{Metadata, PortNumber},
    reference::Kind,
    rejection::{RejectionReason, Unit},
    warning::WarningReason,
};
use crate::{
    addr::{self, SpecialAddress},
    name::{is_dns_label, is_dns_subdomain, is_label_value},
    text::excerpt,
};

impl Report<'_> {
    /// The value of a field, `None` where there is none; a wrong type refuses the unit.
    pub(super) fn read<'f, T: Shape>(
        &mut self,
        field: &'f Field<T>,
        path: Arguments<'_>,
        unit: Unit,
    ) -> Result<Option<&'f T>, Refused> {
        match field {
            Field::Absent => Ok(None),
            Field::Valid(value) => Ok(Some(value)),
            Field::Wrong(text) => {
                let reason = RejectionReason::Not { expected: T::EXPECTED };
                Err(self.reject(path, text.to_string(), reason, unit))
            }
        }
    }

    /// The value of a field that must be there.
    pub(super) fn require<'f, T: Shape>(
        &mut self,
        field: &'f Field<T>,
        path: Arguments<'_>,
        unit: Unit,
    ) -> Result<&'f T, Refused> {
        match self.read(field, path, unit)? {
            Some(value) => Ok(value),
            None => Err(self.reject(path, String::new(), RejectionReason::Missing, unit)),
        }
    }

    /// The elements of a list; none where it is absent, or wrong and thereby refused.
    pub(super) fn list<'f, T: Shape>(
        &mut self,
        field: &'f Field<Vec<Field<T>>>,
        path: Arguments<'_>,
        unit: Unit,
    ) -> &'f [Field<T>] {
        self.read(field, path, unit).ok().flatten().map_or(&[], Vec::as_slice)
    }

    /// Checks the object's own names; [`super::Object::reference`] has taken them as they are.
    pub(super) fn metadata<'f, L>(
        &mut self,
        field: &'f Field<Metadata<L>>,
        unit: Unit,
    ) -> Result<&'f Metadata<L>, Refused>
    where
        Metadata<L>: Shape,
    {
        let metadata = self.require(field, format_args!("metadata"), unit)?;
        let object = self.object();
        if object.kind.is_namespaced() {
            self.read(&metadata.namespace, format_args!("metadata.namespace"), unit)?;
            self.label(&object.namespace, format_args!("metadata.namespace"), unit)?;
        }
        self.require(&metadata.name, format_args!("metadata.name"), unit)?;
        match object.kind {
            Kind::Service => self.label(&object.name, format_args!("metadata.name"), unit)?,
            Kind::EndpointSlice | Kind::Node | Kind::ServiceCidr => {
                if !is_dns_subdomain(&object.name) {
                    let value = excerpt(&object.name);
                    return Err(self.reject(
                        format_args!("metadata.name"),
                        value,
                        RejectionReason::NotASubdomain,
                        unit,
                    ));
                }
            }
        }
        Ok(metadata)
    }

    /// Checks that a name is a DNS label.
    pub(super) fn label(&mut self, name: &str, path: Arguments<'_>, unit: Unit) -> Result<(), Refused> {
        if is_dns_label(name) {
            return Ok(());
        }
        Err(self.reject(path, excerpt(name), RejectionReason::NotALabel, unit))
    }

    /// Checks that a name is the value of a label, and not empty.
    pub(super) fn label_value(&mut self, name: &str, path: Arguments<'_>, unit: Unit) -> Result<(), Refused> {
        if is_label_value(name) {
            return Ok(());
        }
        Err(self.reject(path, excerpt(name), RejectionReason::NotALabelValue, unit))
    }

    /// A port's name: a DNS label, or empty where there is none.
    pub(super) fn port_name<'f>(
        &mut self,
        field: &'f Field<SmolStr>,
        path: Arguments<'_>,
        unit: Unit,
    ) -> Result<&'f str, Refused> {
        match self.read(field, path, unit)? {
            Some(name) if !name.is_empty() => self.label(name, path, unit).map(|()| &**name),
            Some(_) | None => Ok(""),
        }
    }

    /// A port number from 1 to 65535, `None` where there is none.
    pub(super) fn port(
        &mut self,
        field: &Field<PortNumber>,
        path: Arguments<'_>,
        unit: Unit,
    ) -> Result<Option<u16>, Refused> {
        match self.read(field, path, unit)? {
            Some(PortNumber(0)) => {
                let reason = RejectionReason::Not { expected: PortNumber::EXPECTED };
                Err(self.reject(path, "0".to_owned(), reason, unit))
            }
            port => Ok(port.map(|port| port.0)),
        }
    }

    /// An address that can be a frontend or an endpoint; `None` where there is none or only blanks.
    pub(super) fn address(
        &mut self,
        field: &Field<SmolStr>,
        path: Arguments<'_>,
        unit: Unit,
    ) -> Result<Option<IpAddr>, Refused> {
        self.address_of(field, path, unit, |_| false)
    }

    /// The same, where some link-local addresses are good: a cluster may take its cluster IPs from them.
    pub(super) fn address_of(
        &mut self,
        field: &Field<SmolStr>,
        path: Arguments<'_>,
        unit: Unit,
        good_link_local: impl Fn(IpAddr) -> bool,
    ) -> Result<Option<IpAddr>, Refused> {
        let Some(text) = self.read(field, path, unit)? else { return Ok(None) };
        if text.trim().is_empty() {
            return Ok(None);
        }
        let Some(read) = addr::read_ip(text) else {
            return Err(self.reject(path, excerpt(text), RejectionReason::NotAnAddress, unit));
        };
        let special = SpecialAddress::of(read.addr);
        let is_good = |special: &SpecialAddress| *special == SpecialAddress::LinkLocal && good_link_local(read.addr);
        if let Some(special) = special.filter(|special| !is_good(special)) {
            return Err(self.reject(path, excerpt(text), RejectionReason::Special(special), unit));
        }
        if read.normalised {
            self.warn(path, excerpt(text), WarningReason::Normalised { to: read.addr });
        }
        Ok(Some(read.addr))
    }

    /// A CIDR without host bits; `None` where there is none or only blanks. Blanks around it are allowed, since the API
    /// allows them in `loadBalancerSourceRanges`.
    pub(super) fn cidr(
        &mut self,
        field: &Field<SmolStr>,
        path: Arguments<'_>,
        unit: Unit,
    ) -> Result<Option<IpNet>, Refused> {
        let Some(text) = self.read(field, path, unit)?.map(|text| text.trim()) else { return Ok(None) };
        if text.is_empty() {
            return Ok(None);
        }
        let Some(read) = addr::read_cidr(text) else {
            return Err(self.reject(path, excerpt(text), RejectionReason::NotACidr, unit));
        };
        if read.normalised {
            self.warn(path, excerpt(text), WarningReason::NormalisedCidr { to: read.cidr });
        }
        Ok(Some(read.cidr))
    }

    /// A CIDR that is a part of its family's addresses: where all of them are meant something is wrong.
    pub(super) fn part(
        &mut self,
        field: &Field<SmolStr>,
        path: Arguments<'_>,
        unit: Unit,
    ) -> Result<Option<IpNet>, Refused> {
        match self.cidr(field, path, unit)? {
            Some(all) if all.prefix_len() == 0 => {
                Err(self.reject(path, all.to_string(), RejectionReason::EveryAddress, unit))
            }
            part => Ok(part),
        }
    }

    /// The CIDRs of a list, without those that are refused one by one. A list that is none refuses the unit.
    pub(super) fn cidrs(&mut self, field: &Field<List<SmolStr>>, path: Arguments<'_>, unit: Unit) -> Vec<IpNet> {
        let list = self.list(field, path, unit);
        let read = |(i, field)| self.part(field, format_args!("{path}[{i}]"), Unit::Cidr).ok().flatten();
        list.iter().enumerate().filter_map(read).collect()
    }
}
