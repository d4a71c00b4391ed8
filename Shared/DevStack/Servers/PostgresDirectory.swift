import Foundation
import Glibc

/// Where one PostgreSQL keeps its data, its log and its lock.
struct PostgresDirectory: Sendable {
    /// The directory itself, which belongs to the user that the server runs as.
    let path: String
    /// The user to run as; nil when this process is not root.
    let account: String?

    var data: String { path + "/data" }
    /// The major version that made the data; nil when there are none.
    var version: String? {
        (try? String(contentsOfFile: data + "/PG_VERSION", encoding: .utf8))?.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Makes the directory, for the right user.
    ///
    /// A checkout in root's home cannot be reached by the user `postgres`. The data then go below that user's
    /// home, and a link stands where they were asked for.
    static func prepare(_ directory: String) async throws -> PostgresDirectory {
        let files = FileManager.default
        guard geteuid() == 0 else {
            try files.createDirectory(atPath: directory, withIntermediateDirectories: true)
            return PostgresDirectory(path: directory, account: nil)
        }
        let account = "postgres"
        guard let user = getpwnam(account) else { throw StackFailure("There is no user postgres: install the package postgresql.") }
        if let target = try? files.destinationOfSymbolicLink(atPath: directory) {
            try own(target, by: user.pointee)
            return PostgresDirectory(path: target, account: account)
        }
        try own(directory, by: user.pointee)
        let place = PostgresDirectory(path: directory, account: account)
        // Its log is outside the directory: a directory that cannot be reached is removed again.
        let log = directory + ".check.log"
        defer { try? files.removeItem(atPath: log) }
        var check = place.launch("/usr/bin/test", ["-w", directory], log: "")
        check.log = log
        check.directory = "/"
        if try await ManagedProcess.run(check).exit.succeeded { return place }

        let home = String(cString: user.pointee.pw_dir)
        let target = home + "/trionex" + directory.replacing("/", with: "-")
        try own(target, by: user.pointee)
        try files.removeItem(atPath: directory)
        try files.createSymbolicLink(atPath: directory, withDestinationPath: target)
        return PostgresDirectory(path: target, account: account)
    }

    private static func own(_ directory: String, by user: passwd) throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        guard chown(directory, user.pw_uid, user.pw_gid) == 0, chmod(directory, 0o700) == 0 else {
            throw StackFailure("\(directory) could not be given to the user postgres: \(String(cString: strerror(errno))).")
        }
    }

    /// A program of PostgreSQL, run as the right user in this directory.
    func launch(_ executable: String, _ arguments: [String], log: String) -> ProcessLaunch {
        ProcessLaunch(
            executable, arguments, environment: ["PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": path], directory: path,
            log: path + "/" + log, account: account)
    }

    /// A file in this directory that only its user can read. Returns its path.
    func writeSecret(_ text: String, named name: String) throws -> String {
        let file = path + "/" + name
        guard FileManager.default.createFile(atPath: file, contents: Data(text.utf8), attributes: [.posixPermissions: 0o600]) else {
            throw StackFailure("\(file) could not be written.")
        }
        if let account, let user = getpwnam(account) { chown(file, user.pointee.pw_uid, user.pointee.pw_gid) }
        return file
    }

    // MARK: - The lock file

    /// `postmaster.pid` (PostgreSQL source, miscadmin.h: LOCK_FILE_LINE_…): the process on line 1, the status on line 8.
    struct Lock {
        let lines: [String]
        var pid: Int32? { lines.first.flatMap { Int32($0) } }
        /// The process, once it has written that it takes connections.
        var readyServer: Int32? { lines.count > 7 && lines[7].trimmingCharacters(in: .whitespaces) == "ready" ? pid : nil }
    }

    var lock: Lock? {
        guard let text = try? String(contentsOfFile: data + "/postmaster.pid", encoding: .utf8) else { return nil }
        return Lock(lines: text.components(separatedBy: "\n"))
    }

    /// Removes a lock file whose process number now belongs to a program that is not PostgreSQL: after a crash
    /// numbers are given out again, and the server would refuse to start. A lock file of a dead process it clears itself.
    func clearAbandonedLock() throws {
        guard let pid = lock?.pid, kill(pid, 0) == 0 || errno == EPERM else { return }
        let program = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/exe")
        if let program, !program.hasSuffix("/postgres") {
            try FileManager.default.removeItem(atPath: data + "/postmaster.pid")
            return
        }
        let folder = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/cwd")
        guard folder != nil, folder != URL(filePath: data).resolvingSymlinksInPath().path(percentEncoded: false) else {
            throw StackFailure("\(path) is in use by a PostgreSQL that runs already (process \(pid)). Stop it first.")
        }
        try FileManager.default.removeItem(atPath: data + "/postmaster.pid")
    }
}

/// The programs of one PostgreSQL version.
struct PostgresBinaries: Sendable {
    let folder: String

    func path(_ program: String) -> String { folder + "/" + program }

    /// The version asked for, else the newest, of those in /usr/lib/postgresql (Debian) or on the path.
    static func find(version: String?) throws -> PostgresBinaries {
        let root = "/usr/lib/postgresql"
        let versions = ((try? FileManager.default.contentsOfDirectory(atPath: root)) ?? [])
            .filter { Int($0) != nil && Programs.canRun("\(root)/\($0)/bin/postgres") && Programs.canRun("\(root)/\($0)/bin/initdb") }
            .sorted { (Int($0) ?? 0) > (Int($1) ?? 0) }
        if let version, !versions.isEmpty, !versions.contains(version) {
            throw StackFailure(
                "The data were made by PostgreSQL \(version), but only \(versions.joined(separator: ", ")) is installed: "
                    + "install postgresql-\(version), or remove the data with make clean.")
        }
        if let chosen = version ?? versions.first, versions.contains(chosen) { return PostgresBinaries(folder: "\(root)/\(chosen)/bin") }
        for folder in (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        where Programs.canRun("\(folder)/postgres") && Programs.canRun("\(folder)/initdb") {
            return PostgresBinaries(folder: String(folder))
        }
        throw StackFailure("PostgreSQL is not installed: install the package postgresql.")
    }
}
