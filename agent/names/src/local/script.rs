//! The script or program that an interpreter runs, from its command line.

#[cfg(test)]
mod tests;

/// How to read a language's command line.
struct Language {
    /// Names of the executable, without version.
    names: &'static [&'static str],
    /// Options whose value is the next argument.
    valued: &'static [&'static str],
    /// Options after which there is no script: the program is in the argument, or none runs.
    inline: &'static [&'static str],
    /// Options whose value is the program, and how it is shown.
    main: &'static [(&'static str, Main)],
    /// Subcommands in front of the script.
    commands: &'static [&'static str],
}

/// How the program is shown.
#[derive(Clone, Copy)]
enum Main {
    /// By its file name.
    File,
    /// A module or class, as written.
    Module,
    /// A node's name, before the `@` of its host.
    Node,
}

const SHELL: Language = Language {
    names: &["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish"],
    valued: &["-o", "+o", "-O", "+O", "--rcfile", "--init-file"],
    inline: &["-c", "-s"],
    main: &[],
    commands: &[],
};

const LANGUAGES: &[Language] = &[
    Language {
        names: &["python", "pypy", "micropython"],
        valued: &["-W", "-X", "-Q", "--check-hash-based-pycs"],
        inline: &["-c"],
        main: &[("-m", Main::Module)],
        commands: &[],
    },
    Language {
        names: &["java"],
        valued: &[
            "-cp",
            "-classpath",
            "--class-path",
            "-p",
            "--module-path",
            "--upgrade-module-path",
            "--add-modules",
            "--add-opens",
            "--add-exports",
            "--add-reads",
            "--limit-modules",
            "--patch-module",
            "--enable-native-access",
        ],
        inline: &["-version", "--version"],
        main: &[("-jar", Main::File), ("-m", Main::Module), ("--module", Main::Module)],
        commands: &[],
    },
    Language {
        names: &["node", "nodejs"],
        valued: &[
            "-r",
            "--require",
            "--import",
            "--loader",
            "--experimental-loader",
            "-C",
            "--conditions",
            "--env-file",
            "--title",
        ],
        inline: &["-e", "--eval", "-p", "--print", "-i"],
        main: &[],
        commands: &[],
    },
    Language {
        names: &["deno"],
        valued: &["-c", "--config", "--import-map", "-L", "--log-level", "--seed", "-r"],
        inline: &["eval", "repl"],
        main: &[],
        commands: &["run", "serve", "test"],
    },
    Language {
        names: &["bun"],
        valued: &["-r", "--preload", "--cwd", "-c", "--config", "--port"],
        inline: &["-e", "--eval"],
        main: &[],
        commands: &["run"],
    },
    Language {
        names: &["ruby", "jruby", "truffleruby"],
        valued: &["-I", "-r", "-C", "-E", "-F"],
        inline: &["-e"],
        main: &[("-S", Main::File)],
        commands: &[],
    },
    Language { names: &["perl"], valued: &["-I"], inline: &["-e", "-E"], main: &[], commands: &[] },
    Language {
        names: &["php"],
        valued: &["-c", "-d", "-S", "-t", "-z"],
        inline: &["-r", "-B", "-R", "-E", "-a"],
        main: &[("-f", Main::File), ("-F", Main::File), ("--file", Main::File)],
        commands: &[],
    },
    Language { names: &["lua", "luajit", "texlua"], valued: &["-l"], inline: &["-e"], main: &[], commands: &[] },
    Language {
        names: &["dotnet"],
        valued: &["--additionalprobingpath", "--depsfile", "--runtimeconfig", "--fx-version", "--roll-forward"],
        inline: &["build", "run", "test", "watch"],
        main: &[],
        commands: &["exec"],
    },
    Language { names: &["mono"], valued: &["--config"], inline: &[], main: &[], commands: &[] },
    Language { names: &["Rscript"], valued: &[], inline: &["-e"], main: &[], commands: &[] },
    Language { names: &["R"], valued: &["-e"], inline: &[], main: &[("-f", Main::File)], commands: &[] },
    Language { names: &["julia"], valued: &["-p", "-t", "-L", "-J"], inline: &["-e", "-E"], main: &[], commands: &[] },
    Language { names: &["tclsh", "wish"], valued: &["-encoding"], inline: &[], main: &[], commands: &[] },
    Language {
        names: &["beam.smp", "beam"],
        // No other option of Erlang names a script.
        valued: &[],
        inline: &["-noshell"],
        main: &[("-name", Main::Node), ("-sname", Main::Node)],
        commands: &[],
    },
    SHELL,
];

/// Servers that run another module: the name of `gunicorn shop.wsgi:app` is `shop.wsgi`.
const LAUNCHERS: [&str; 8] =
    ["gunicorn", "uvicorn", "hypercorn", "daphne", "granian", "waitress-serve", "uwsgi", "waitress"];

/// The program that `exe` runs, by its arguments; none if it is no interpreter, or the program has no name.
pub(super) fn of(exe: &str, arguments: &[&str]) -> Option<String> {
    if exe == "busybox" {
        return of_busybox(arguments);
    }
    let bare = without_version(exe);
    let language = LANGUAGES.iter().find(|language| language.names.iter().any(|name| *name == bare || *name == exe))?;
    if let Some(title) = of_title(arguments) {
        return Some(title);
    }
    let (script, rest) = main_of(language, arguments.get(1..)?)?;
    if LAUNCHERS.contains(&script.as_str()) {
        let module = rest.iter().filter(|one| !one.starts_with('-')).find_map(|one| module_of(one));
        return module.or(Some(script));
    }
    Some(script)
}

/// The program, and the arguments that follow it.
fn main_of<'a, 'b>(language: &Language, mut arguments: &'b [&'a str]) -> Option<(String, &'b [&'a str])> {
    let mut commands = language.commands;
    loop {
        let (argument, rest) = arguments.split_first()?;
        arguments = rest;
        if let Some((_, main)) = language.main.iter().find(|(option, _)| option == argument) {
            return Some((shown(rest.first()?, *main)?, &rest[1..]));
        }
        if *argument == "--" {
            return Some((file_name(rest.first()?)?, &rest[1..]));
        }
        if language.inline.contains(argument) {
            // For Erlang, these do not replace the script: they are options like any other.
            if language.names.contains(&"beam") {
                continue;
            }
            return None;
        }
        if language.valued.contains(argument) {
            arguments = rest.get(1..)?;
        } else if commands.contains(argument) {
            commands = &[];
        } else if let Some((last, main)) = bundled(language, argument) {
            // `-um` before a module, `-uc` before a program.
            return if last { Some((shown(rest.first()?, main)?, &rest[1..])) } else { None };
        } else if !argument.starts_with(['-', '+', '@']) && !argument.is_empty() {
            // For Erlang, only the node's name counts; Java's main class is no file.
            return match language.names[0] {
                "beam.smp" => continue,
                "java" => Some((shown(argument, Main::Module)?, rest)),
                _ => Some((file_name(argument)?, rest)),
            };
        }
    }
}

/// Single-letter options bundled in one argument, the last of which takes the next argument: how to show that. False for a
/// program in the argument.
fn bundled(language: &Language, argument: &str) -> Option<(bool, Main)> {
    let letters =
        argument.strip_prefix('-').filter(|rest| rest.len() > 1 && rest.bytes().all(|b| b.is_ascii_lowercase()))?;
    // Java and Erlang have whole words after one dash.
    if !matches!(language.names[0], "python" | "sh" | "perl" | "ruby") {
        return None;
    }
    let last = format!("-{}", letters.chars().next_back()?);
    if let Some((_, main)) = language.main.iter().find(|(option, _)| *option == last) {
        return Some((true, *main));
    }
    language.inline.contains(&last.as_str()).then_some((false, Main::File))
}

fn shown(argument: &str, main: Main) -> Option<String> {
    let shown = match main {
        Main::File => return file_name(argument),
        Main::Module => argument,
        Main::Node => argument.split('@').next()?,
    };
    (!shown.is_empty()).then(|| shown.to_owned())
}

/// The last part of a path or URL; none for a directory.
fn file_name(path: &str) -> Option<String> {
    let name = path.trim_end_matches('/').rsplit('/').next()?;
    (!matches!(name, "" | "." | ".." | "-")).then(|| name.to_owned())
}

/// `shop.wsgi:app`, and factories `shop.wsgi:make()`.
fn module_of(argument: &str) -> Option<String> {
    let (module, application) = argument.split_once(':')?;
    let is_path = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'));
    let is_module = is_path(module) && module.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let names = is_path(application.split('(').next()?) && application.starts_with(|c: char| !c.is_ascii_digit());
    (is_module && names && !application.is_empty()).then(|| module.to_owned())
}

/// A command line that the process has overwritten, as gunicorn and puma do: `gunicorn: master [shop.wsgi:app]`.
fn of_title(arguments: &[&str]) -> Option<String> {
    let [title] = arguments else { return None };
    let (name, rest) = title.split_once(' ')?;
    let inside = rest.rsplit_once('[').and_then(|(_, inside)| inside.split_once(']')).map(|(inside, _)| inside);
    if let Some(inside) = inside.filter(|inside| !inside.is_empty() && !inside.contains(' ')) {
        return Some(module_of(inside).unwrap_or_else(|| inside.to_owned()));
    }
    file_name(name.trim_end_matches(':'))
}

/// One executable for many programs: the program is its first argument, or the one after.
fn of_busybox(arguments: &[&str]) -> Option<String> {
    let first = file_name(arguments.first()?)?;
    let (applet, arguments) =
        if first == "busybox" { (file_name(arguments.get(1)?)?, arguments.get(1..)?) } else { (first, arguments) };
    let applet = applet.trim_start_matches('-').to_owned();
    let is_shell = SHELL.names.contains(&applet.as_str());
    let script = is_shell.then(|| main_of(&SHELL, arguments.get(1..).unwrap_or_default())).flatten();
    Some(script.map_or(applet, |(script, _)| script))
}

/// `python3.11` is `python`, `node-18` is `node`.
fn without_version(exe: &str) -> &str {
    exe.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-'))
}
