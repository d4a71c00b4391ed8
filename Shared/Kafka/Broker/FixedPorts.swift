package import Foundation
import Synchronization

/// librdkafka's mock cluster always asks for any free port, and its brokers advertise the port they got. To give them known
/// ports, this program answers `bind` itself: the dynamic linker finds the program's symbol before the C library's.
enum FixedPorts {
    /// The port for the next broker; 0 leaves the choice to the system.
    static let next = Atomic<UInt16>(0)

    fileprivate typealias Bind = @convention(c) (CInt, UnsafePointer<sockaddr>?, socklen_t) -> CInt

    /// The C library's `bind`, looked up beyond ours (`RTLD_NEXT` is the pointer -1).
    fileprivate static let systemBind: Bind? = dlsym(UnsafeMutableRawPointer(bitPattern: -1), "bind").map {
        unsafeBitCast($0, to: Bind.self)
    }
}

/// Replaces port 0 of an IPv4 address by the next fixed one; all else goes to the C library as it is.
@_cdecl("bind")
package func bindWithFixedPort(_ socket: CInt, _ address: UnsafePointer<sockaddr>?, _ length: socklen_t) -> CInt {
    guard let systemBind = FixedPorts.systemBind else {
        errno = ENOSYS
        return -1
    }
    guard let address, address.pointee.sa_family == sa_family_t(AF_INET), length >= socklen_t(MemoryLayout<sockaddr_in>.size) else {
        return systemBind(socket, address, length)
    }
    var fixed = UnsafeRawPointer(address).loadUnaligned(as: sockaddr_in.self)
    guard fixed.sin_port == 0, FixedPorts.next.load(ordering: .relaxed) != 0 else { return systemBind(socket, address, length) }
    fixed.sin_port = FixedPorts.next.wrappingAdd(1, ordering: .relaxed).oldValue.bigEndian
    // A broker started again right away finds its port free although old connections linger.
    var yes: CInt = 1
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<CInt>.size))
    return withUnsafeBytes(of: &fixed) { bytes in
        systemBind(socket, bytes.assumingMemoryBound(to: sockaddr.self).baseAddress, socklen_t(bytes.count))
    }
}
