public class Suite { public static void main(String[] a){} }
