//! `portcullis explain`: who a certificate is, what a service may do, who may talk to whom.

use std::path::PathBuf;

use rustls::pki_types::CertificateDer;

use super::exit::Exit;
use crate::clock::unix_now;
use crate::identity::certificate::CertificateFacts;
use crate::identity::{Role, ServiceName};
use crate::load::{self, Loaded};
use crate::policy::{Grants, GroupName, matrix_of_everybody};
use crate::report::chain;
use crate::topic::{Pattern, Topic};
use crate::trust::pem;

/// With a certificate: the outcome, the rule and the grants. With `--service`: the verdict on one topic, for scripts
/// and CI (exit code 1 is a denial). With `--matrix`: everybody at once.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["certificate", "service", "matrix"]))]
pub struct Arguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// A client's certificate, PEM, its chain behind it.
    #[arg(value_name = "CERT.pem")]
    certificate: Option<PathBuf>,
    /// Ask about this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// A role that the service has; may be repeated.
    #[arg(long = "role", value_name = "ROLE", requires = "service")]
    roles: Vec<String>,
    /// May it publish on this topic?
    #[arg(long, value_name = "TOPIC", requires = "service", conflicts_with = "subscribe")]
    publish: Option<String>,
    /// May it subscribe to this pattern?
    #[arg(long, value_name = "PATTERN", requires = "service")]
    subscribe: Option<String>,
    /// The queue group of the subscription.
    #[arg(long, value_name = "GROUP", requires = "subscribe")]
    group: Option<String>,
    /// Who may talk to whom: every service and role that the policy names.
    #[arg(long)]
    matrix: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let loaded = match load::first(&arguments.config, unix_now()) {
        Ok(loaded) => loaded,
        Err(faults) => {
            eprintln!("{faults}");
            return Exit::Config;
        }
    };
    if arguments.matrix {
        print!("{}", matrix_of_everybody(&loaded.generation.policy));
        return Exit::Success;
    }
    match &arguments.certificate {
        Some(path) => explain_certificate(&loaded, path),
        None => explain_service(&loaded, arguments),
    }
}

fn explain_certificate(loaded: &Loaded, path: &PathBuf) -> Exit {
    let read = std::fs::read(path).map_err(|error| chain(&error));
    let chain_of = match read.and_then(|bytes| pem::certificates(&bytes).map_err(|error| chain(&error))) {
        Ok(certificates) => certificates,
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            return Exit::Usage;
        }
    };
    let Some((leaf, rest)) = chain_of.split_first() else { return Exit::Usage };
    match loaded.generation.trust.verify(leaf, rest, unix_now()) {
        Ok(verified) => match loaded.generation.trust.map(&verified) {
            Ok(mapped) => {
                let roles: Vec<_> = mapped.roles().cloned().collect();
                println!("trust     {}", verified.trust());
                println!("service   {}", mapped.service());
                println!("roles     {}", joined(&roles));
                println!("rule      {}", mapped.rule());
                println!("until     {} (Unix seconds)", verified.deadline());
                let grants = loaded.generation.policy.grants(mapped.service(), &roles);
                print_grants(&grants)
            }
            Err(error) => {
                println!("refused   {}", chain(&error));
                Exit::Refused
            }
        },
        Err(error) => {
            println!("refused   {}", chain(&error));
            explain_unverified(loaded, leaf);
            Exit::Refused
        }
    }
}

/// What the mapping would say, for a certificate that does not verify here.
fn explain_unverified(loaded: &Loaded, leaf: &CertificateDer<'_>) {
    let facts = match CertificateFacts::parse(leaf) {
        Ok(facts) => facts,
        Err(error) => return println!("unreadable {}", chain(&error)),
    };
    for domain in loaded.generation.trust.domains() {
        match domain.mapping().map(&facts) {
            Ok(mapped) => {
                println!("would be  {} in {} by {}", mapped.service(), domain.name(), mapped.rule())
            }
            Err(error) => println!("would be  nobody in {}: {}", domain.name(), chain(&error)),
        }
    }
}

fn explain_service(loaded: &Loaded, arguments: &Arguments) -> Exit {
    let grants = match named_grants(loaded, arguments) {
        Ok(grants) => grants,
        Err(error) => {
            eprintln!("{error}");
            return Exit::Usage;
        }
    };
    let verdict = match (&arguments.publish, &arguments.subscribe) {
        (Some(topic), _) => Topic::parse(topic).map_err(|error| error.to_string()).map(|topic| {
            grants.publish(&topic).map(|permit| permit.rule().map(ToString::to_string).unwrap_or_default())
        }),
        (None, Some(pattern)) => subscription(&grants, pattern, arguments.group.as_deref()),
        (None, None) => return print_grants(&grants),
    };
    match verdict {
        Ok(Ok(rule)) => {
            println!("permitted by {rule}");
            Exit::Success
        }
        Ok(Err(denial)) => {
            println!("denied: {denial}");
            Exit::Refused
        }
        Err(error) => {
            eprintln!("{error}");
            Exit::Usage
        }
    }
}

fn named_grants(loaded: &Loaded, arguments: &Arguments) -> Result<Grants, String> {
    let service = arguments.service.as_deref().unwrap_or_default();
    let service = ServiceName::parse(service).map_err(|error| format!("--service: {error}"))?;
    let roles: Result<Vec<_>, _> = arguments.roles.iter().map(|role| Role::parse(role)).collect();
    let roles = roles.map_err(|error| format!("--role: {error}"))?;
    Ok(loaded.generation.policy.grants(&service, &roles))
}

fn subscription(
    grants: &Grants,
    pattern: &str,
    group: Option<&str>,
) -> Result<Result<String, crate::policy::Denial>, String> {
    let pattern = Pattern::parse(pattern).map_err(|error| error.to_string())?;
    let group = group.map(GroupName::parse).transpose().map_err(|error| error.to_string())?;
    Ok(grants.subscribe(&pattern, group.as_ref()).map(|permit| {
        let filter: Vec<_> = permit.filter().iter().map(ToString::to_string).collect();
        match filter.as_slice() {
            [] => permit.rule().to_string(),
            denied => format!("{}, without {}", permit.rule(), denied.join(" ")),
        }
    }))
}

fn print_grants(grants: &Grants) -> Exit {
    match grants.connect() {
        Ok(rule) => println!("connect   permitted by {rule}"),
        Err(denial) => {
            println!("connect   denied: {denial}");
            return Exit::Refused;
        }
    }
    let lists = [
        ("publish", grants.publish_rules()),
        ("not", grants.deny_publish_rules()),
        ("subscribe", grants.subscribe_rules()),
        ("not", grants.deny_subscribe_rules()),
    ];
    for (word, rules) in lists {
        for rule in rules {
            println!("{word:9} {}  by {}", rule.pattern, rule.grant);
        }
    }
    for (group, rule) in grants.shared_groups() {
        println!("group     {group} (shared) by {rule}");
    }
    Exit::Success
}

fn joined(roles: &[Role]) -> String {
    let roles: Vec<_> = roles.iter().map(Role::as_str).collect();
    if roles.is_empty() { "-".into() } else { roles.join(" ") }
}
