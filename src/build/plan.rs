//! The plan of each platform: config and accounts first, since owners are named by either, then
//! the files in the order of the spec.

use super::Request;
use super::gather::{Gathered, Sources};
use super::owners::{self, Owners};
use crate::base::{Base, BaseImage};
use crate::core::json::Object;
use crate::core::overlay::{Defaults, Edit, Ids, Placement, Plan, Planner};
use crate::core::runtime::{self, Change};
use crate::core::spec::{CopyFile, Spec};
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
    let mut runtime = image.config.runtime()?;
    let changes = runtime::merge(&mut runtime, &spec.config)?;
    let user = runtime::user(&runtime)?;
    let accounts = owners::accounts(spec, &image.files, &user)?;
    let mut layout = Layout {
        request,
        image,
        sources,
        runtime: &runtime,
    };
    let mut owners = Owners::new(accounts, user);
    let mut plan = layout.plan(&owners)?;
    // The files may bring other accounts than the base has; then owners are looked up in those.
    if owners.were_asked() {
        owners = owners.of_result(&plan, &image.files)?;
        plan = layout.plan(&owners)?;
    }
    owners.note_user(notes);
    for note in layout.sources.notes() {
        push_new(notes, note);
    }
    for note in std::mem::take(&mut plan.notes) {
        push_new(notes, note);
    }
    Ok(PlatformPlan {
        plan,
        runtime,
        changes,
    })
}

fn push_new(notes: &mut Vec<String>, note: String) {
    if !notes.contains(&note) {
        notes.push(note);
    }
}

/// What one platform's plan is made of.
struct Layout<'a, 'b> {
    request: &'a Request,
    image: &'a BaseImage,
    sources: &'a mut Sources<'b>,
    runtime: &'a Object,
}

impl Layout<'_, '_> {
    /// Plans everything: accounts, files in the order of the spec, working directory.
    fn plan(&mut self, owners: &Owners) -> Result<Plan> {
        let spec = &self.request.spec;
        let default_owner = owners.ids(spec.defaults.owner.as_ref(), "defaults.owner")?;
        let defaults = Defaults {
            owner: default_owner,
            mtime: self.request.time.seconds().cast_signed(),
        };
        let mut planner = Planner::new(&self.image.files.tree, defaults);
        for (content, path) in owners.edited()? {
            planner.edit(Edit {
                path: &path,
                content,
                key: "accounts",
            })?;
        }
        for (number, copy) in spec.copy_files.iter().enumerate() {
            self.request.opener.cancel.check()?;
            let key = format!("copy_files[{number}]");
            let owner = match &copy.owner {
                None => default_owner,
                Some(owner) => owners.ids(Some(owner), &format!("{key}.owner"))?,
            };
            let gathered = self.sources.gather(number, copy, &self.image.platform);
            let gathered = gathered.map_err(|error| error.at(key.clone()))?;
            place(&mut planner, spec, copy, &gathered, owner, &key)?;
        }
        if spec.config.workdir.is_some()
            && let Some(workdir) = runtime::workdir(self.runtime)?
        {
            planner.make_directory(&workdir, "config.workdir")?;
        }
        Ok(planner.finish())
    }
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

fn at_platform(error: Error, image: &BaseImage, base: &Base) -> Error {
    if base.images.len() > 1 {
        error.at(image.platform.to_string())
    } else {
        error
    }
}
