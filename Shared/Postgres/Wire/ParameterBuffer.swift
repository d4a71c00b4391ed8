import CLibPQ

/// The arrays that libpq wants, kept from statement to statement so that binding allocates next to nothing.
struct ParameterBuffer {
    private var bytes: [UInt8] = []
    private var offsets: [Int?] = []
    private var pointers: [UnsafePointer<CChar>?] = []
    private var lengths: [CInt] = []
    private var formats: [CInt] = []
    private(set) var types: [UInt32] = []

    /// More than this is given back after a statement with large values.
    private static let keptBytes = 1 << 16

    mutating func fill(_ bindings: [Binding]) {
        let keep = bytes.capacity <= Self.keptBytes
        bytes.removeAll(keepingCapacity: keep)
        offsets.removeAll(keepingCapacity: true)
        lengths.removeAll(keepingCapacity: true)
        formats.removeAll(keepingCapacity: true)
        types.removeAll(keepingCapacity: true)
        for binding in bindings {
            types.append(binding.type.oid)
            formats.append(binding.isText ? 0 : 1)
            if case .null = binding.value {
                offsets.append(nil)
                lengths.append(0)
                continue
            }
            offsets.append(bytes.count)
            binding.append(to: &bytes)
            lengths.append(CInt(bytes.count - (offsets[offsets.count - 1] ?? 0)))
            // Ends a text for C; also keeps an empty value from being taken for NULL.
            bytes.append(0)
        }
    }

    /// Lends count, values, lengths and formats for the length of one call, which copies them.
    mutating func withParameters<R>(
        _ body: (CInt, UnsafePointer<UnsafePointer<CChar>?>?, UnsafePointer<CInt>?, UnsafePointer<CInt>?) -> R
    ) -> R {
        pointers.removeAll(keepingCapacity: true)
        return bytes.withUnsafeBufferPointer { buffer in
            let base = buffer.baseAddress.map { UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self) }
            for offset in offsets { pointers.append(offset.flatMap { base?.advanced(by: $0) }) }
            return body(CInt(offsets.count), pointers, lengths, formats)
        }
    }
}
