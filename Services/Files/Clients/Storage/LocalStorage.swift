import Contracts
import Foundation
import NIOPosix

#if canImport(Glibc)
    import Glibc
#endif

/// Content in a directory of this machine, or of a volume that several replicas share.
///
///     <directory>/incoming/<file>                    being written
///     <directory>/content/<tenant>/<xx>/<file>       complete; xx are the last two digits of the file's id
///
/// Blocking calls run on NIO's thread pool, one at a time for each file, so event loops never wait for a disk.
struct LocalStorage: ContentStorage {
    static let directoryMode: mode_t = 0o700
    static let fileMode: mode_t = 0o600

    let directory: String
    private let calls: FileCalls
    private var incoming: String { directory + "/incoming" }
    private var content: String { directory + "/content" }

    init(directory: String, calls: FileCalls = .system) throws {
        self.directory = directory
        self.calls = calls
        try Directory.make(incoming)
        try Directory.make(content)
    }

    func begin(_ key: ContentKey) async throws -> any IncomingContent {
        let temporary = "\(incoming)/\(key.file)"
        let final = path(key)
        let calls = calls
        return try await offLoop {
            let descriptor = try Descriptor(opening: temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode: Self.fileMode)
            return TemporaryFile(descriptor: descriptor, temporary: temporary, final: final, calls: calls)
        }
    }

    func open(_ key: ContentKey) async throws -> any KeptContent {
        let path = path(key)
        return try await offLoop { KeptFile(descriptor: try Descriptor(opening: path, O_RDONLY | O_CLOEXEC)) }
    }

    func remove(_ key: ContentKey) async throws {
        let path = path(key)
        try await offLoop {
            if unlink(path) != 0, errno != ENOENT { throw StorageTrouble.failure("unlink") }
        }
    }

    func removeLeftovers(before date: Date) async throws -> Int {
        let incoming = incoming
        return try await offLoop {
            let old = try Directory.entries(incoming).map { "\(incoming)/\($0)" }.filter { Directory.isFile($0, changedBefore: date) }
            return old.count { unlink($0) == 0 }
        }
    }

    func visit(committedBefore date: Date, _ batch: @Sendable (TenantID, [ContentKey]) async throws -> Void) async throws {
        let content = content
        for tenant in try await offLoop({ try Directory.entries(content) }).compactMap({ TenantID($0) }) {
            let home = "\(content)/\(tenant)"
            for shard in try await offLoop({ try Directory.entries(home) }) {
                let files = try await offLoop {
                    try Directory.entries("\(home)/\(shard)").compactMap { FileID($0) }
                        .filter { Directory.isFile("\(home)/\(shard)/\($0)", changedBefore: date) }
                }
                if !files.isEmpty { try await batch(tenant, files.map { ContentKey(tenant: tenant, file: $0) }) }
            }
        }
    }

    func ping() async throws {
        let paths = [incoming, content]
        try await offLoop {
            for path in paths where access(path, W_OK | X_OK) != 0 { throw StorageTrouble.failure("access") }
        }
    }

    private func path(_ key: ContentKey) -> String {
        let file = key.file.description
        return "\(content)/\(key.tenant)/\(file.suffix(2))/\(file)"
    }
}

/// The system calls that a full or broken disk makes fail, so that tests can have one.
struct FileCalls: Sendable {
    var write: @Sendable (_ descriptor: CInt, _ bytes: UnsafeRawBufferPointer) -> Int
    var synchronize: @Sendable (_ descriptor: CInt) -> CInt

    static let system = FileCalls(
        write: { Glibc.write($0, $1.baseAddress, $1.count) },
        synchronize: { fsync($0) })
}

/// A file under its temporary name: written, made durable, then renamed.
private struct TemporaryFile: IncomingContent {
    let descriptor: Descriptor
    let temporary: String
    let final: String
    let calls: FileCalls

    func append(_ bytes: Data) async throws {
        try await offLoop {
            try bytes.withUnsafeBytes { buffer in
                var rest = buffer
                while !rest.isEmpty {
                    let written = calls.write(descriptor.number, rest)
                    if written < 0 {
                        if errno == EINTR { continue }
                        throw StorageTrouble.failure("write")
                    }
                    rest = UnsafeRawBufferPointer(rebasing: rest[written...])
                }
            }
        }
    }

    func commit() async throws {
        try await offLoop {
            guard calls.synchronize(descriptor.number) == 0 else { throw StorageTrouble.failure("fsync") }
            let home = Directory.parent(of: final)
            try Directory.make(home)
            guard rename(temporary, final) == 0 else { throw StorageTrouble.failure("rename") }
            try Directory.synchronize(home)
        }
    }

    func abandon() async {
        let temporary = temporary
        // A task of its own, because the one that asks may have been cancelled.
        await Task { try? await offLoop { _ = unlink(temporary) } }.value
    }
}

private struct KeptFile: KeptContent {
    let descriptor: Descriptor

    func read(at offset: Int, count: Int) async throws -> Data {
        try await offLoop {
            var data = Data(count: count)
            var done = 0
            while done < count {
                let got = data.withUnsafeMutableBytes { buffer in
                    pread(descriptor.number, buffer.baseAddress?.advanced(by: done), count - done, off_t(offset + done))
                }
                if got < 0 {
                    if errno == EINTR { continue }
                    throw StorageTrouble.failure("read")
                }
                if got == 0 { break }
                done += got
            }
            return data.prefix(done)
        }
    }
}

/// An open file, closed with its last user.
private final class Descriptor: Sendable {
    let number: CInt

    init(opening path: String, _ flags: CInt, mode: mode_t = 0) throws {
        number = Glibc.open(path, flags, mode)
        guard number >= 0 else {
            if errno == ENOENT { throw DamagedContent.missing }
            throw StorageTrouble.failure("open")
        }
    }

    deinit { close(number) }
}

private enum Directory {
    static func parent(of path: String) -> String { String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]) }

    /// Makes the directory and those above it, and makes their names durable.
    static func make(_ path: String) throws {
        if path.isEmpty || isDirectory(path) { return }
        try make(parent(of: path))
        if mkdir(path, LocalStorage.directoryMode) != 0 {
            if errno == EEXIST { return }
            throw StorageTrouble.failure("mkdir")
        }
        let above = parent(of: path)
        try synchronize(above.isEmpty ? "." : above)
    }

    static func synchronize(_ path: String) throws {
        let descriptor = try Descriptor(opening: path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard fsync(descriptor.number) == 0 else { throw StorageTrouble.failure("fsync") }
    }

    static func entries(_ path: String) throws -> [String] {
        do {
            return try FileManager.default.contentsOfDirectory(atPath: path)
        } catch {
            throw DependencyFailure(StorageTrouble.dependency, reason: "a directory cannot be listed")
        }
    }

    static func isFile(_ path: String, changedBefore date: Date) -> Bool {
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: path),
            attributes[.type] as? FileAttributeType == .typeRegular, let changed = attributes[.modificationDate] as? Date
        else { return false }
        return changed < date
    }

    private static func isDirectory(_ path: String) -> Bool {
        var isDirectory: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) && isDirectory.boolValue
    }
}

private enum StorageTrouble {
    static let dependency = "file storage"

    /// What `errno` means to whoever uploads: no room, or storage that is out of order.
    static func failure(_ call: String) -> any Error {
        let code = errno
        if code == ENOSPC || code == EDQUOT || code == EFBIG { return FileFailure.storageFull }
        return DependencyFailure(dependency, reason: "\(call): \(String(cString: strerror(code)))")
    }
}

private func offLoop<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T {
    try await NIOThreadPool.singleton.runIfActive(work)
}
