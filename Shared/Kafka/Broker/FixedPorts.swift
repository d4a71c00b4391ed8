import Foundation
import Synchronization

/// librdkafka's mock cluster always asks for any free port, and its brokers advertise the port they got. To give them known
/// ports, the library's own link to the C function `bind` is turned to ours. Nothing else in the program is touched.
///
/// It is done here, and not by a symbol of the same name, because a linker exports such a symbol only when told to.
enum FixedPorts {
    fileprivate typealias Bind = @convention(c) (CInt, UnsafePointer<sockaddr>?, socklen_t) -> CInt

    /// The port for the next broker; 0 leaves the choice to the system.
    static let next = Atomic<UInt16>(0)

    /// The brokers made by `body`, `count` of them, get the ports from `first` on.
    static func from<R>(_ first: UInt16, count: Int, _ body: () throws -> R) throws -> R {
        guard first != 0 else { return try body() }
        // The library aborts the program when it cannot bind, so we try first.
        for port in first..<(first + UInt16(count)) where !isFree(port) {
            throw BrokerFailure("port \(port) of 127.0.0.1 is in use: choose another with --port")
        }
        try install()
        next.store(first, ordering: .relaxed)
        defer { next.store(0, ordering: .relaxed) }
        return try body()
    }

    private static func isFree(_ port: UInt16) -> Bool {
        let probe = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(probe) }
        var yes: CInt = 1
        setsockopt(probe, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<CInt>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(INADDR_LOOPBACK).bigEndian
        return withUnsafeBytes(of: &address) { raw in
            bind(probe, raw.assumingMemoryBound(to: sockaddr.self).baseAddress, socklen_t(raw.count)) == 0
        }
    }

    /// Finds the library among the loaded objects and replaces the address in its table of outside functions
    /// (System V ABI, chapter 5, "Dynamic Linking"): each relocation names a symbol and the place of its address.
    private static func install() throws {
        guard let handle = dlopen("librdkafka.so.1", RTLD_NOW | RTLD_NOLOAD) else {
            throw BrokerFailure("librdkafka.so.1 is not loaded: --port 0 works without it")
        }
        // With glibc the handle is the object's link_map.
        let object = UnsafeRawPointer(handle).assumingMemoryBound(to: link_map.self).pointee
        var table: [Int: UInt] = [:]
        var entry = object.l_ld
        while let dynamic = entry?.pointee, dynamic.d_tag != 0 {
            table[Int(dynamic.d_tag)] = UInt(dynamic.d_un.d_ptr)
            entry = entry?.advanced(by: 1)
        }
        let relocations = [(DT_JMPREL, DT_PLTRELSZ), (DT_RELA, DT_RELASZ)].flatMap { start, size in
            entries(at: table[Int(start)], bytes: table[Int(size)], of: Elf64_Rela.self)
        }
        guard
            let symbols = table[Int(DT_SYMTAB)].flatMap({ UnsafePointer<Elf64_Sym>(bitPattern: $0) }),
            let names = table[Int(DT_STRTAB)].flatMap({ UnsafePointer<CChar>(bitPattern: $0) }),
            let relocation = relocations.first(where: { relocation in
                String(cString: names + Int(symbols[Int(relocation.r_info >> 32)].st_name)) == "bind"
            }),
            let place = UnsafeMutableRawPointer(bitPattern: UInt(object.l_addr) + UInt(relocation.r_offset))
        else {
            throw BrokerFailure("this build of librdkafka does not take fixed ports: use --port 0")
        }
        try writable(place) { $0.storeBytes(of: bindWithFixedPort, as: Bind.self) }
    }

    private static func entries<T>(at address: UInt?, bytes: UInt?, of type: T.Type) -> [T] {
        guard let address, let bytes, let start = UnsafePointer<T>(bitPattern: address) else { return [] }
        return Array(UnsafeBufferPointer(start: start, count: Int(bytes) / MemoryLayout<T>.stride))
    }

    /// The table is read-only once the library is loaded.
    private static func writable(_ place: UnsafeMutableRawPointer, _ body: (UnsafeMutableRawPointer) -> Void) throws {
        let size = UInt(sysconf(Int32(_SC_PAGESIZE)))
        let page = UnsafeMutableRawPointer(bitPattern: UInt(bitPattern: place) / size * size)
        guard mprotect(page, Int(size), PROT_READ | PROT_WRITE) == 0 else {
            throw BrokerFailure("this system does not allow fixed ports: use --port 0")
        }
        body(place)
        mprotect(page, Int(size), PROT_READ)
    }
}

/// Replaces port 0 of an IPv4 address by the next fixed one; all else is bound as it is.
private func bindWithFixedPort(_ socket: CInt, _ address: UnsafePointer<sockaddr>?, _ length: socklen_t) -> CInt {
    guard let address, address.pointee.sa_family == sa_family_t(AF_INET), length >= socklen_t(MemoryLayout<sockaddr_in>.size) else {
        return bind(socket, address, length)
    }
    var fixed = UnsafeRawPointer(address).loadUnaligned(as: sockaddr_in.self)
    guard fixed.sin_port == 0, FixedPorts.next.load(ordering: .relaxed) != 0 else { return bind(socket, address, length) }
    fixed.sin_port = FixedPorts.next.wrappingAdd(1, ordering: .relaxed).oldValue.bigEndian
    // A broker started again right away finds its port free although old connections linger.
    var yes: CInt = 1
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<CInt>.size))
    return withUnsafeBytes(of: &fixed) { bytes in
        bind(socket, bytes.assumingMemoryBound(to: sockaddr.self).baseAddress, socklen_t(bytes.count))
    }
}
