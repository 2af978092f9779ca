//! The plan of each platform: accounts first, then the config, since owners may be named by
//! either, then the files in the order of the spec.

use super::Request;
use super::gather::{Gathered, Sources};
use crate::base::{Base, BaseImage, Files};
use crate::core::accounts::{self, AccountFile, Accounts, NewGroup, NewUser};
use crate::core::entry::Content;
use crate::core::json::Object;
use crate::core::overlay::{Defaults, Edit, Ids, Placement, Plan, Planner};
use crate::core::path::LayerPath;
use crate::core::runtime::{self, Change};
use crate::core::spec::{CopyFile, Owner, Principal, Spec};
use crate::core::tree::resolve;
use crate::error::{Error, Result};

/// What is planned for one platform.
#[derive(Debug)]
pub(super) struct PlatformPlan {
    pub(super) plan: Plan,
    pub(super) runtime: Object,
    pub(super) changes: Vec<Change>,
}

/// The plans of all platforms, in the order of the base's images.
pub(super) fn plans(
    request: &Request,
    base: &Base,
    notes: &mut Vec<String>,
) -> Result<Vec<PlatformPlan>> {
    let mut sources = Sources::new(request)?;
    let mut plans = Vec::new();
    for image in &base.images {
        let plan = plan(request, image, &mut sources, notes);
        plans.push(plan.map_err(|error| at_platform(error, image, base))?);
    }
    Ok(plans)
}

fn plan(
    request: &Request,
    image: &BaseImage,
    sources: &mut Sources<'_>,
    notes: &mut Vec<String>,
) -> Result<PlatformPlan> {
    let spec = &request.spec;
    let accounts = accounts(spec, &image.files)?;
    let mut runtime = image.config.runtime()?;
    let changes = runtime::merge(&mut runtime, &spec.config)?;
    let owners = Owners {
        accounts: &accounts,
        user: runtime::user(&runtime)?,
    };
    let default_owner = owners.ids(spec.defaults.owner.as_ref(), "defaults.owner")?;
    let defaults = Defaults {
        owner: default_owner,
        mtime: request.time.seconds().cast_signed(),
    };
    let mut planner = Planner::new(&image.files.tree, defaults);
    for (file, path) in [(&accounts.passwd, PASSWD), (&accounts.group, GROUP)] {
        edit_accounts(&mut planner, file, path)?;
    }
    for (number, copy) in spec.copy_files.iter().enumerate() {
        let cause = format!("copy_files[{number}]");
        let owner = match &copy.owner {
            None => default_owner,
            Some(owner) => owners.ids(Some(owner), &format!("{cause}.owner"))?,
        };
        let gathered = sources
            .gather(number, copy, &image.platform)
            .map_err(|error| error.at(cause.clone()))?;
        place(&mut planner, spec, copy, &gathered, owner, &cause)?;
    }
    if spec.config.workdir.is_some()
        && let Some(workdir) = runtime::workdir(&runtime)?
    {
        planner.make_directory(&workdir, "config.workdir")?;
    }
    note_names(&accounts, &runtime, notes)?;
    Ok(PlatformPlan {
        plan: planner.finish(),
        runtime,
        changes,
    })
}

fn place(
    planner: &mut Planner<'_>,
    spec: &Spec,
    copy: &CopyFile,
    gathered: &Gathered,
    owner: Ids,
    key: &str,
) -> Result<()> {
    for found in &gathered.matches {
        planner.place(&Placement {
            destination: &copy.destination,
            name: &found.name,
            by_name: gathered.by_name,
            entries: &found.entries,
            owner,
            mode: copy.mode.or(spec.defaults.mode),
            explicit: copy.mode.is_some() || copy.owner.is_some(),
            key,
            shown: gathered
                .from
                .as_ref()
                .map(|from| format!("{from}{}", found.shown))
                .as_deref(),
        })?;
    }
    Ok(())
}

const PASSWD: &str = "etc/passwd";
const GROUP: &str = "etc/group";

fn path(text: &str) -> Result<LayerPath> {
    LayerPath::parse(text)
        .map_err(|error| Error::internal(format!("bad path {text}")).because(error))
}

/// The base's accounts with those of the spec.
fn accounts(spec: &Spec, files: &Files) -> Result<Accounts> {
    let passwd = files.read(&path(PASSWD)?, accounts::MAX_SIZE)?;
    let group = files.read(&path(GROUP)?, accounts::MAX_SIZE)?;
    let mut accounts = Accounts::new(passwd, group);
    let nologin = nologin(files)?;
    for (number, group) in spec.accounts.groups.iter().enumerate() {
        let members: Vec<String> = group
            .members
            .iter()
            .map(|name| name.as_str().to_owned())
            .collect();
        let group = NewGroup {
            name: group.name.as_str(),
            gid: group.gid,
            members: &members,
        };
        accounts
            .add_group(&group)
            .map_err(|error| error.at(format!("accounts.groups[{number}]")))?;
    }
    for (number, user) in spec.accounts.users.iter().enumerate() {
        let user = NewUser {
            name: user.name.as_str(),
            uid: user.uid,
            gid: user.gid,
            home: user.home.as_str(),
            description: user.description.as_str(),
        };
        accounts
            .add_user(&user, nologin)
            .map_err(|error| error.at(format!("accounts.users[{number}]")))?;
    }
    Ok(accounts)
}

/// Where the base has its `nologin`, or where most have it.
fn nologin(files: &Files) -> Result<&'static str> {
    for place in ["/usr/sbin/nologin", "/sbin/nologin"] {
        let found = resolve(&files.tree, &path(place)?, true);
        if found.is_ok_and(|found| files.tree.get(&found.path).is_some()) {
            return Ok(place);
        }
    }
    Ok("/sbin/nologin")
}

fn edit_accounts(planner: &mut Planner<'_>, file: &AccountFile, at: &str) -> Result<()> {
    match file.changed() {
        None => Ok(()),
        Some(content) => planner.edit(Edit {
            path: &path(at)?,
            content: Content::bytes(content),
            key: "accounts",
        }),
    }
}

/// Who an `owner` is in the result.
struct Owners<'a> {
    accounts: &'a Accounts,
    /// The user that the result runs as.
    user: String,
}

impl Owners<'_> {
    fn ids(&self, owner: Option<&Owner>, place: &str) -> Result<Ids> {
        let ids = match owner {
            None => Ok(Ids { uid: 0, gid: 0 }),
            Some(Owner::Numeric { uid, gid }) => Ok(Ids {
                uid: *uid,
                gid: *gid,
            }),
            Some(Owner::Runtime) => self.accounts.runtime(&self.user),
            Some(Owner::Named { user, group }) => self.named(user, group.as_ref()),
        };
        ids.map_err(|error| error.at(place))
    }

    fn named(&self, user: &Principal, group: Option<&Principal>) -> Result<Ids> {
        let ids = self.accounts.runtime(&user.to_string())?;
        match group {
            None => Ok(ids),
            Some(group) => Ok(Ids {
                gid: self.accounts.gid(&group.to_string())?,
                ..ids
            }),
        }
    }
}

/// A user by name is looked up when the container starts: it must be there then.
fn note_names(accounts: &Accounts, runtime: &Object, notes: &mut Vec<String>) -> Result<()> {
    let user = runtime::user(runtime)?;
    if let Err(error) = accounts.runtime(&user) {
        let note = format!(
            "the image runs as `{}`, which it does not know: {error}",
            user.escape_debug()
        );
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    Ok(())
}

fn at_platform(error: Error, image: &BaseImage, base: &Base) -> Error {
    if base.images.len() > 1 {
        error.at(image.platform.to_string())
    } else {
        error
    }
}
