import DevStack
import Foundation

/// What was built, and how it was called.
struct BuildOrigin: Sendable {
    /// As git names it; with a `+` when files had been changed since.
    let commit: String
    let isRelease: Bool
    /// The options of this run besides the part, as they were typed.
    let options: [String]

    /// The command that measures this part again.
    func command(_ part: String) -> String {
        let arguments = (["--part=\(part)"] + options).joined(separator: " ")
        return arguments.contains(" ") ? "make bench ARGS='\(arguments)'" : "make bench ARGS=\(arguments)"
    }

    static func current() async -> BuildOrigin {
        let commit = await Machine.line(["git", "rev-parse", "--short", "HEAD"]) ?? "unknown"
        let hasChanged = await Machine.line(["git", "status", "--porcelain", "--untracked-files=no"]) != nil
        return BuildOrigin(
            commit: commit + (hasChanged ? "+" : ""), isRelease: BuildFolder.path.contains("release"),
            options: chosenOptions(CommandLine.arguments.dropFirst()))
    }

    /// Without the part, the addresses that `make bench` puts there, and what writes the page.
    static func chosenOptions(_ arguments: some Sequence<String>) -> [String] {
        let left = ["--part", "--gateway", "--database", "--content", "--analytics", "--publish"]
        var chosen: [String] = []
        var skipsValue = false
        for argument in arguments {
            if skipsValue {
                skipsValue = false
            } else if let name = left.first(where: { argument == $0 || argument.hasPrefix($0 + "=") }) {
                skipsValue = argument == name && name != "--publish"
            } else {
                chosen.append(argument)
            }
        }
        return chosen
    }
}

/// What it was measured on.
enum Machine {
    /// Name and version or size, in the order of the page.
    static func facts() async -> [(String, String)] {
        let release = (try? String(contentsOfFile: "/etc/os-release", encoding: .utf8)) ?? ""
        let system = release.split(separator: "\n").first { $0.hasPrefix("PRETTY_NAME=") }?.dropFirst(12).replacing("\"", with: "")
        let processors = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
        let model = processors.split(separator: "\n").first { $0.hasPrefix("model name") }?.split(separator: ":").last
        let cores = ProcessInfo.processInfo.activeProcessorCount
        let memory = Double(ProcessInfo.processInfo.physicalMemory) / 1_073_741_824
        return [
            ("processor", "\(model?.trimmingCharacters(in: .whitespaces) ?? "unknown"), \(cores) cores"),
            ("memory", String(format: "%.0f GiB", memory)),
            ("system", "\(system.map(String.init) ?? "unknown"), Linux \(await line(["uname", "-r"]) ?? "unknown")"),
            ("Swift", await line(["swift", "--version"])?.replacing(#/.*Swift version (\S+).*/#) { String($0.output.1) } ?? "unknown"),
            (
                "PostgreSQL",
                await line(["sh", "-c", "/usr/lib/postgresql/*/bin/postgres --version"])?.split(separator: " ").dropFirst(2).first.map(
                    String.init) ?? "unknown"
            ),
            (
                "Redis",
                await line(["redis-server", "--version"])?.split(separator: " ").first { $0.hasPrefix("v=") }?.dropFirst(2).description
                    ?? "unknown"
            ),
            ("broker", "the local one: the mock cluster of librdkafka \(await packageVersion("librdkafka1"))"),
        ]
    }

    private static func packageVersion(_ name: String) async -> String {
        await line(["dpkg-query", "-W", "-f", "${Version}", name]) ?? "unknown"
    }

    /// The first line that a program answers; nil when there is none, or no such program.
    static func line(_ words: [String]) async -> String? {
        let log = FileManager.default.temporaryDirectory.appending(path: "trionex-\(UUID().uuidString).log").path(percentEncoded: false)
        defer { try? FileManager.default.removeItem(atPath: log) }
        guard let (exit, output) = try? await ManagedProcess.run(ProcessLaunch("/usr/bin/env", words, log: log), atMost: .seconds(10)),
            exit.succeeded
        else { return nil }
        return output.split(separator: "\n").first.map(String.init)
    }
}
